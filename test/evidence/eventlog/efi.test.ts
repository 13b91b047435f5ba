import { describe, expect, it } from 'vitest';
import { Refusal } from '../../../src/base/index.ts';
import {
  devicePathText,
  parseEventLog,
  parseLoadOption,
  parseSignatureLists,
  parseVariable,
} from '../../../src/evidence/index.ts';
import { untrustedImagePath } from '../../../src/evidence/eventlog/efi/image-load.ts';
import { bootLoaderText, plainText } from '../../../src/evidence/eventlog/efi/text.ts';
import {
  GLOBAL,
  OWNER,
  SHA256_GUID,
  X509_GUID,
  guidBytes,
  readEventLog,
  sha256,
  signatureList,
  u16,
  u32,
  u64,
  utf16le,
  variableData,
} from '../../support/eventlogs.ts';
import { expectRefusal } from '../../support/refusals.ts';

const END = Buffer.of(0x7f, 0xff, 4, 0);
const node = (type: number, subtype: number, data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(type, subtype), u16(data.length + 4), data]);
const file = node(4, 4, utf16le('\\EFI\\BOOT\\BOOTX64.EFI\0'));

describe('EFI_SIGNATURE_LIST (f7)', () => {
  const hash = sha256('revoked');
  const certificate = Buffer.alloc(40, 0x30);

  it('reads certificates, digests and other kinds, list after list', () => {
    const lists = Buffer.concat([
      signatureList(X509_GUID, [certificate]),
      signatureList(SHA256_GUID, [hash, sha256('other')]),
      signatureList('3bd2a492-96c0-4079-b420-fcf98ef103ed', [Buffer.alloc(48)]),
    ]);
    const { certificates, hashes, others } = parseSignatureLists(new Uint8Array(lists));
    expect(certificates).toEqual([{ owner: OWNER, data: new Uint8Array(certificate) }]);
    expect(hashes.map(({ data }) => Buffer.from(data))).toEqual([hash, sha256('other')]);
    expect(others).toHaveLength(1);
    expect(parseSignatureLists(new Uint8Array())).toEqual({ certificates: [], hashes: [], others: [] });
  });

  it('never reads the vendor header as signatures (CVE-2026-12681)', () => {
    const forged = Buffer.concat([guidBytes(OWNER), sha256('what an attacker wants allowed')]);
    const { hashes } = parseSignatureLists(signatureList(SHA256_GUID, [hash], forged));
    expect(hashes.map(({ data }) => Buffer.from(data))).toEqual([hash]);
    expect(parseSignatureLists(signatureList(SHA256_GUID, [], forged).fill(48, 24, 25)).hashes).toEqual([]);
  });

  it.each([
    ['a list of 0 bytes', 16, 0],
    ['a list of 27 bytes', 16, 27],
    ['a list beyond the data', 16, 77],
    ['a list of 4 GiB', 16, 0xffff_ffff],
    ['a header beyond the list', 20, 49],
    ['a header of 4 GiB', 20, 0xffff_ffff],
    ['entries of 0 bytes', 24, 0],
    ['entries of 16 bytes', 24, 16],
    ['SHA-256 entries of 36 bytes', 24, 36],
    ['entries of 4 GiB', 24, 0xffff_ffff],
  ])('refuses %s', (_, offset, value) => {
    const list = signatureList(SHA256_GUID, [hash]);
    list.writeUInt32LE(value, offset);
    expectRefusal('f7', () => parseSignatureLists(list));
  });

  it('refuses a part of an entry, bytes after a list, and every cut', () => {
    const list = signatureList(X509_GUID, [certificate]);
    const partial = Buffer.concat([list, Buffer.of(1)]);
    expectRefusal('f7', () => parseSignatureLists(partial));
    partial.writeUInt32LE(partial.length, 16);
    expectRefusal('f7', () => parseSignatureLists(partial));
    for (let length = 1; length < list.length; length++)
      expect(() => parseSignatureLists(list.subarray(0, length))).toThrow(Refusal);
  });
});

describe('UEFI_VARIABLE_DATA', () => {
  it('reads GUID, name and value', () => {
    expect(parseVariable(new Uint8Array(variableData(GLOBAL, 'SecureBoot', Uint8Array.of(1))))).toEqual({
      guid: GLOBAL,
      name: 'SecureBoot',
      value: Uint8Array.of(1),
      trailing: 0,
    });
  });

  it.each([
    ['a name length that overflows', 16, 0x8000_0000_0000_0001n],
    ['a value length that overflows', 24, 0xffff_ffff_ffff_ffffn],
    ['no name', 16, 0n],
    ['a name beyond the data', 16, 12n],
  ])('is undefined for %s', (_, offset, value) => {
    const data = variableData(GLOBAL, 'SecureBoot', Uint8Array.of(1));
    data.writeBigUInt64LE(value, offset);
    expect(parseVariable(data)).toBeUndefined();
  });

  it('counts bytes that the lengths leave out, and never throws', () => {
    const data = variableData(GLOBAL, 'db', new Uint8Array(3));
    expect(parseVariable(Buffer.concat([data, Buffer.alloc(5)]))?.trailing).toBe(5);
    for (let length = 0; length < data.length; length++)
      expect(parseVariable(data.subarray(0, length))).toBeUndefined();
  });
});

describe('EFI_DEVICE_PATH', () => {
  it.each([
    ['PciRoot(0x0)', node(2, 1, Buffer.concat([u32(0x0a0341d0), u32(0)]))],
    ['Acpi(0x10041d0,0x2)', node(2, 1, Buffer.concat([u32(0x010041d0), u32(2)]))],
    ['Pci(0x1f,0x2)', node(1, 1, Buffer.of(2, 0x1f))],
    ['MemoryMapped(0xb,0x1000,0x2000)', node(1, 3, Buffer.concat([u32(11), u64(0x1000), u64(0x2000)]))],
    [`VenHw(${OWNER})`, node(1, 4, guidBytes(OWNER))],
    ['Scsi(0x1,0x2)', node(3, 2, Buffer.concat([u16(1), u16(2)]))],
    ['USB(0xb,0x1)', node(3, 5, Buffer.of(11, 1))],
    [`VenMsg(${OWNER})`, node(3, 10, guidBytes(OWNER))],
    [
      'MAC(525400123456…)',
      node(3, 11, Buffer.concat([Buffer.from('525400123456', 'hex'), Buffer.alloc(27)])),
    ],
    [
      'IPv4(10.0.2.15,10.0.2.2)',
      node(3, 12, Buffer.concat([Buffer.of(10, 0, 2, 15, 10, 0, 2, 2), Buffer.alloc(7)])),
    ],
    ['Sata(0x0,0xffff,0x0)', node(3, 0x12, Buffer.concat([u16(0), u16(0xffff), u16(0)]))],
    [
      'NVMe(0x1,0011223344556677)',
      node(3, 0x17, Buffer.concat([u32(1), Buffer.from('0011223344556677', 'hex')])),
    ],
    ['Uri(http://boot.example/a.efi)', node(3, 0x18, Buffer.from('http://boot.example/a.efi'))],
    [
      `HD(1,GPT,${OWNER},0x800,0x1000)`,
      node(4, 1, Buffer.concat([u32(1), u64(0x800), u64(0x1000), guidBytes(OWNER), Buffer.of(2, 2)])),
    ],
    [`VenMedia(${OWNER})`, node(4, 3, guidBytes(OWNER))],
    ['\\EFI\\BOOT\\BOOTX64.EFI', file],
    [`FvFile(${OWNER})`, node(4, 6, guidBytes(OWNER))],
    [`Fv(${OWNER})`, node(4, 7, guidBytes(OWNER))],
    ['Offset(0xf250,0x201ff)', node(4, 8, Buffer.concat([u32(0), u64(0xf250), u64(0x201ff)]))],
    ['Path(5,1,0102)', node(5, 1, Buffer.of(1, 2))],
  ])('shows %s', (text, bytes) => {
    expect(devicePathText(Buffer.concat([bytes, END]))).toBe(text);
  });

  it('shows an MBR partition, several nodes, instances and paths', () => {
    const mbr = node(
      4,
      1,
      Buffer.concat([
        u32(1),
        u64(1),
        u64(2),
        Buffer.from('aabbccdd', 'hex'),
        Buffer.alloc(12),
        Buffer.of(1, 1),
      ]),
    );
    expect(devicePathText(Buffer.concat([mbr, END]))).toContain('HD(1,MBR,aabbccdd');
    const instance = Buffer.of(0x7f, 1, 4, 0);
    expect(devicePathText(Buffer.concat([file, instance, file, END, node(1, 1, Buffer.of(0, 1)), END]))).toBe(
      '\\EFI\\BOOT\\BOOTX64.EFI/,/\\EFI\\BOOT\\BOOTX64.EFI;Pci(0x1,0x0)',
    );
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['no end', file],
    ['a node of 3 bytes', Buffer.concat([Buffer.of(1, 1, 3, 0), END])],
    ['a node of 0 bytes', Buffer.concat([Buffer.of(1, 1, 0, 0), END])],
    ['a node shorter than its fields', Buffer.concat([node(4, 1, Buffer.alloc(10)), END])],
    ['an end node with data', Buffer.of(0x7f, 0xff, 5, 0, 0)],
    [
      'too many nodes',
      Buffer.concat([...Array.from({ length: 65 }, () => node(1, 1, Buffer.of(0, 0))), END]),
    ],
    ['too many paths', Buffer.concat(Array.from({ length: 17 }, () => END))],
  ])('refuses %s', (_, bytes) => {
    expectRefusal('malformed', () => devicePathText(bytes));
  });

  it('refuses every cut of a real one', () => {
    const path = Buffer.concat([node(2, 1, Buffer.concat([u32(0x0a0341d0), u32(0)])), file, END]);
    for (let length = 0; length < path.length; length++)
      expectRefusal('malformed', () => devicePathText(path.subarray(0, length)));
  });
});

describe('EFI_LOAD_OPTION and UEFI_IMAGE_LOAD_EVENT', () => {
  const path = Buffer.concat([file, END]);
  const option = Buffer.concat([u32(1), u16(path.length), utf16le('Debian\0'), path, Buffer.of(9)]);

  it('reads attributes, description, path and optional data', () => {
    expect(parseLoadOption(new Uint8Array(option))).toEqual({
      attributes: 1,
      description: 'Debian',
      devicePath: '\\EFI\\BOOT\\BOOTX64.EFI',
      optionalData: Uint8Array.of(9),
    });
  });

  it('refuses a description without NUL and every cut of the path', () => {
    expectRefusal('malformed', () => parseLoadOption(Buffer.concat([u32(1), u16(0), utf16le('Debian')])));
    for (let length = 0; length < option.length - 1; length++)
      expectRefusal('malformed', () => parseLoadOption(option.subarray(0, length)));
  });

  it('shows the path of an image, and refuses a length beyond the event', () => {
    const event = (length: bigint): Buffer => Buffer.concat([u64(1), u64(2), u64(3), u64(length), path]);
    expect(untrustedImagePath(event(BigInt(path.length)))).toBe('\\EFI\\BOOT\\BOOTX64.EFI');
    expect(untrustedImagePath(event(0n))).toBe('');
    expectRefusal('malformed', () => untrustedImagePath(event(1n << 40n)));
    expectRefusal('malformed', () => untrustedImagePath(Buffer.alloc(31)));
  });

  it('reads every image path of real logs or refuses it', () => {
    const log = parseEventLog(readEventLog('go-tpm-tools/glinux-alex.bin'));
    const images = log.events.filter(({ type }) => type === 0x80000003 || type === 0x80000004);
    expect(images.map(({ data }) => untrustedImagePath(data))).toEqual([
      expect.stringMatching(/^PciRoot\(0x2\).*Offset\(0xf050,0x1f9ff\)$/),
      expect.stringMatching(/^PciRoot\(0x1\).*NVMe.*HD\(2,GPT,.*\.efi$/i),
    ]);
  });
});

describe('text', () => {
  it('is ASCII or mostly Latin UTF-16, never a guess', () => {
    expect(plainText(Buffer.from('sbat,1,2025021800\nshim,4\n'))).toBe('sbat,1,2025021800\nshim,4\n');
    expect(plainText(utf16le('GCE v1\0'))).toBe('GCE v1');
    expect(plainText(Buffer.from('1efb6b540c1d5540a4ad4ef4bf17b83a', 'hex'))).toBeUndefined();
    expect(plainText(Buffer.alloc(4))).toBeUndefined();
    expect(plainText(new Uint8Array())).toBeUndefined();
  });

  it('keeps different bytes of a boot loader different', () => {
    expect(bootLoaderText(Buffer.from('grün'))).toBe('grün');
    const one = bootLoaderText(Buffer.from([0x61, 0xff]));
    const other = bootLoaderText(Buffer.from([0x61, 0xfe]));
    expect(one).toBe('a\\xff');
    expect(other).not.toBe(one);
    expect(bootLoaderText(Buffer.concat([Buffer.from('\\xff'), Buffer.of(0xfe)]))).toBe('\\x5cxff\\xfe');
  });
});
