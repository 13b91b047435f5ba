import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const DATA = path.resolve(import.meta.dirname, '../data/eventlogs');

/** Path of a file in test/data/eventlogs. */
export function eventLogPath(name: string): string {
  return path.join(DATA, name);
}

/** A log of test/data/eventlogs: raw, base64 (`.b64`), or in go-attestation's JSON (`Log.Raw`). */
export function readEventLog(name: string): Uint8Array {
  const file = readFileSync(eventLogPath(name));
  if (name.endsWith('.b64')) return new Uint8Array(Buffer.from(file.toString('latin1'), 'base64'));
  if (!name.endsWith('.json')) return new Uint8Array(file);
  const document = JSON.parse(file.toString('utf8')) as { Log?: { Raw: string }; Raw?: string };
  return new Uint8Array(Buffer.from(document.Log?.Raw ?? document.Raw ?? '', 'base64'));
}

/** JSON of test/data/eventlogs. */
export function readJson(name: string): unknown {
  return JSON.parse(readFileSync(eventLogPath(name), 'utf8'));
}

export const u16 = (value: number): Buffer => {
  const out = Buffer.alloc(2);
  out.writeUInt16LE(value);
  return out;
};
export const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
};
export const u64 = (value: bigint | number): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
};
export const utf16le = (text: string): Buffer => Buffer.from(text, 'utf16le');
export const sha256 = (data: Uint8Array | string): Buffer => createHash('sha256').update(data).digest();

/** An event to build; without `digest` it is SHA-256 of the data, without `measured` of that. */
export interface BuiltEvent {
  readonly pcr: number;
  readonly type: number;
  readonly data: Uint8Array;
  readonly digest?: Uint8Array;
}

export const NO_ACTION_DIGEST = Buffer.alloc(32);

/** EFI_GUID in its wire form. */
export function guidBytes(guid: string): Buffer {
  const [a = '', b = '', c = '', d = '', e = ''] = guid.split('-');
  const swap = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();
  return Buffer.concat([swap(a), swap(b), swap(c), Buffer.from(d + e, 'hex')]);
}

export const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
export const SECURITY = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f';
export const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23';
export const X509_GUID = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072';
export const SHA256_GUID = 'c1c41626-504c-4092-aca9-41f936934328';
export const OWNER = '77fa9abd-0359-4d32-bd60-28f4e78f784b';

/** UEFI_VARIABLE_DATA. */
export function variableData(guid: string, name: string, value: Uint8Array): Buffer {
  return Buffer.concat([guidBytes(guid), u64(name.length), u64(value.length), utf16le(name), value]);
}

/** EFI_SIGNATURE_LIST of equal entries. */
export function signatureList(
  type: string,
  entries: readonly Uint8Array[],
  header: Uint8Array = new Uint8Array(),
): Buffer {
  const size = 16 + (entries[0]?.length ?? 0);
  const body = entries.flatMap((entry) => [guidBytes(OWNER), entry]);
  const length = 28 + header.length + entries.length * size;
  return Buffer.concat([guidBytes(type), u32(length), u32(header.length), u32(size), header, ...body]);
}

export const EV = {
  POST_CODE: 1,
  UNUSED: 2,
  NO_ACTION: 3,
  SEPARATOR: 4,
  ACTION: 5,
  EVENT_TAG: 6,
  S_CRTM_CONTENTS: 7,
  S_CRTM_VERSION: 8,
  IPL: 13,
  DRIVER_CONFIG: 0x80000001,
  BOOT: 0x80000002,
  APPLICATION: 0x80000003,
  ACTION_EFI: 0x80000007,
  BLOB: 0x80000008,
  HCRTM: 0x80000010,
  AUTHORITY: 0x800000e0,
} as const;

const SEPARATOR = new Uint8Array(4);
const certificate = (fill: number): Buffer =>
  Buffer.concat([Buffer.from([0x30, 0x82, 0x00, 0x60]), Buffer.alloc(96, fill)]);
const text = (value: string): Buffer => Buffer.from(value, 'latin1');

export const separator = (pcr: number): BuiltEvent => ({ pcr, type: EV.SEPARATOR, data: SEPARATOR });
export const action = (pcr: number, value: string): BuiltEvent => ({
  pcr,
  type: EV.ACTION_EFI,
  data: text(value),
});
export const config = (guid: string, name: string, value: Uint8Array): BuiltEvent => ({
  pcr: 7,
  type: EV.DRIVER_CONFIG,
  data: variableData(guid, name, value),
});
export const authority = (guid: string, name: string, value: Uint8Array): BuiltEvent => ({
  pcr: 7,
  type: EV.AUTHORITY,
  data: variableData(guid, name, value),
});
export const image = (content: string): BuiltEvent => ({
  pcr: 4,
  type: EV.APPLICATION,
  data: Buffer.concat([u64(0x1000), u64(0x2000), u64(0), u64(0)]),
  digest: sha256(content),
});
/** GRUB hashes the text without its label and NUL. */
export const grub = (label: string, command: string): BuiltEvent => ({
  pcr: 8,
  type: EV.IPL,
  data: text(`${label}${command}\0`),
  digest: sha256(command),
});

/** The parts of a sound boot: tests replace, add and take away events. */
export const SOUND = {
  version: { pcr: 0, type: EV.S_CRTM_VERSION, data: utf16le('v1\0') },
  secureBoot: config(GLOBAL, 'SecureBoot', Uint8Array.of(1)),
  pk: config(GLOBAL, 'PK', signatureList(X509_GUID, [certificate(1)])),
  kek: config(GLOBAL, 'KEK', signatureList(X509_GUID, [certificate(2)])),
  db: config(SECURITY, 'db', signatureList(X509_GUID, [certificate(3)])),
  dbx: config(SECURITY, 'dbx', signatureList(SHA256_GUID, [sha256('revoked')])),
  separator7: separator(7),
  authority: authority(SECURITY, 'db', Buffer.concat([guidBytes(OWNER), certificate(3)])),
  calling: action(4, 'Calling EFI Application from Boot Option'),
  separator0: separator(0),
  separator1: separator(1),
  separator2: separator(2),
  separator3: separator(3),
  separator4: separator(4),
  separator5: separator(5),
  separator6: separator(6),
  shim: image('shim'),
  grubImage: image('grub'),
  command: grub('grub_cmd: ', 'linux /vmlinuz root=/dev/vda2 ro'),
  commandLine: grub('kernel_cmdline: ', '/vmlinuz root=/dev/vda2 ro'),
  kernel: { pcr: 9, type: EV.IPL, data: text('/vmlinuz\0'), digest: sha256('kernel') },
  exit: action(5, 'Exit Boot Services Invocation'),
  exited: action(5, 'Exit Boot Services Returned with Success'),
} satisfies Record<string, BuiltEvent>;

export type SoundPart = keyof typeof SOUND;

/** The sound boot with some parts replaced (several events) or taken away (an empty list). */
export function boot(changes: Partial<Record<SoundPart, readonly BuiltEvent[]>> = {}): Uint8Array {
  const parts = Object.entries(SOUND) as [SoundPart, BuiltEvent][];
  return buildLog(parts.flatMap(([name, event]) => changes[name] ?? [event]));
}

/** A Spec ID event; every field can be wrong. */
export function specId(algorithms: readonly (readonly [number, number])[] = [[0x0b, 32]]): Buffer {
  const list = algorithms.map(([id, size]) => Buffer.concat([u16(id), u16(size)]));
  return Buffer.concat([
    text('Spec ID Event03\0'),
    u32(0),
    Buffer.of(0, 2, 0, 2),
    u32(algorithms.length),
    ...list,
    Buffer.of(0),
  ]);
}

/** TCG_PCR_EVENT, the SHA-1 format. */
export function sha1Event(
  pcr: number,
  type: number,
  data: Uint8Array,
  digest: Uint8Array = new Uint8Array(20),
): Buffer {
  return Buffer.concat([u32(pcr), u32(type), digest, u32(data.length), data]);
}

/** TCG_PCR_EVENT2 with the given digests. */
export function agileEvent(
  pcr: number,
  type: number,
  digests: readonly (readonly [number, Uint8Array])[],
  data: Uint8Array,
): Buffer {
  const list = digests.map(([id, digest]) => Buffer.concat([u16(id), digest]));
  return Buffer.concat([u32(pcr), u32(type), u32(digests.length), ...list, u32(data.length), data]);
}

/** A crypto-agile log with a SHA-256 bank. */
export function buildLog(events: readonly BuiltEvent[]): Uint8Array {
  const records = events.map(({ pcr, type, data, digest }) =>
    agileEvent(pcr, type, [[0x0b, digest ?? sha256(data)]], data),
  );
  return new Uint8Array(Buffer.concat([sha1Event(0, EV.NO_ACTION, specId()), ...records]));
}
