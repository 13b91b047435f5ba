import { Reader } from '../../../base/index.ts';
import { readGuid } from './guid.ts';
import { asciiText, shortHex, utf16 } from './text.ts';

const END = 0x7f;
const END_ENTIRE = 0xff;
/** Real paths have fewer than ten nodes. */
const MAX_NODES = 64;
const MAX_PATHS = 16;

/**
 * EFI_DEVICE_PATHs as text like the UEFI shell's: nodes {type u8, subtype u8, length u16 with its 4 bytes of header}
 * up to End-Entire. A boot option may hold several, shown with `;` between them. Nodes without a form of their own
 * are shown as `Path(type,subtype,hex)`.
 * @throws Refusal `malformed`: no end node, bytes after it, a node shorter than its header or than its fields
 */
export function devicePathText(bytes: Uint8Array): string {
  const reader = new Reader(bytes, 'EFI_DEVICE_PATH');
  const paths = [onePath(reader)];
  while (reader.remaining > 0 && paths.length < MAX_PATHS) paths.push(onePath(reader));
  reader.end();
  return paths.join(';');
}

function onePath(reader: Reader): string {
  const nodes: string[] = [];
  for (;;) {
    const type = reader.u8();
    const subtype = reader.u8();
    const length = reader.u16le();
    if (length < 4) reader.malformed(`node of ${String(length)} bytes`);
    if (nodes.length >= MAX_NODES) reader.malformed('too many nodes');
    const node = reader.nested(length - 4, 'EFI_DEVICE_PATH node');
    if (type === END && subtype === END_ENTIRE) {
      node.end();
      return nodes.join('/');
    }
    nodes.push(type === END ? ',' : nodeText(type, subtype, node));
  }
}

function nodeText(type: number, subtype: number, node: Reader): string {
  const text = NODES[(type << 8) | subtype]?.(node);
  return text ?? `Path(${String(type)},${String(subtype)},${shortHex(node.rest())})`;
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** Type and subtype → text; nodes that boot options and images on real machines have (UEFI 2.10 §10.3). */
const NODES: Readonly<Record<number, (node: Reader) => string>> = {
  0x0101: (n) => {
    const pciFunction = n.u8();
    return `Pci(${hex(n.u8())},${hex(pciFunction)})`;
  },
  0x0103: (n) => `MemoryMapped(${hex(n.u32le())},${hex(n.u64le())},${hex(n.u64le())})`,
  0x0104: (n) => `VenHw(${readGuid(n)})`,
  0x0201: (n) => {
    const hid = n.u32le();
    const uid = n.u32le();
    return (hid & 0xffff) === 0x41d0 && hid >>> 16 === 0x0a03
      ? `PciRoot(${hex(uid)})`
      : `Acpi(${hex(hid)},${hex(uid)})`;
  },
  0x0302: (n) => `Scsi(${hex(n.u16le())},${hex(n.u16le())})`,
  0x0305: (n) => `USB(${hex(n.u8())},${hex(n.u8())})`,
  0x030a: (n) => `VenMsg(${readGuid(n)})`,
  0x030b: (n) => `MAC(${shortHex(n.bytes(32), 6)})`,
  0x030c: (n) => `IPv4(${ipv4(n.bytes(4))},${ipv4(n.bytes(4))})`,
  0x0312: (n) => `Sata(${hex(n.u16le())},${hex(n.u16le())},${hex(n.u16le())})`,
  0x0317: (n) => {
    const namespace = n.u32le();
    return `NVMe(${hex(namespace)},${shortHex(n.bytes(8))})`;
  },
  0x0318: (n) => `Uri(${asciiText(n.rest()) ?? '?'})`,
  0x0401: hardDrive,
  0x0404: (n) => fileName(n.rest()),
  0x0406: (n) => `FvFile(${readGuid(n)})`,
  0x0407: (n) => `Fv(${readGuid(n)})`,
  0x0408: (n) => {
    n.bytes(4);
    return `Offset(${hex(n.u64le())},${hex(n.u64le())})`;
  },
  0x0403: (n) => `VenMedia(${readGuid(n)})`,
};

function hardDrive(node: Reader): string {
  const partition = node.u32le();
  const start = node.u64le();
  const size = node.u64le();
  const signature = node.nested(16, 'partition signature');
  const format = node.u8();
  const id = format === 2 ? readGuid(signature) : shortHex(signature.rest());
  return `HD(${String(partition)},${format === 2 ? 'GPT' : 'MBR'},${id},${hex(start)},${hex(size)})`;
}

function fileName(bytes: Uint8Array): string {
  return utf16(bytes).replace(/\0+$/, '');
}

function ipv4(bytes: Uint8Array): string {
  return bytes.join('.');
}
