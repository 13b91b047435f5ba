import type { FfiPackages } from './ffi-packages.ts';

/** What ref-napi makes of any address, but for a page. */
const WINDOW = 0x3fff_f000;
/** How far before an address a window begins: the dynamic linker places libraries close together, mostly downwards. */
const BEFORE = WINDOW / 2;

/** Memory from `start` on, as ref-napi sees it. It is never read here: parts of it may not exist. */
interface Window {
  readonly start: number;
  readonly memory: Buffer;
}

const windows: Window[] = [];

/**
 * A Buffer at the address of a C function, which must not be read: libffi takes it in this form only.
 *
 * ref-napi makes a Buffer of 1 GiB at every address that it is given, and V8 believes that so much memory is held: with
 * some dozen functions, that was one full garbage collection after the other at start. So all addresses within a
 * gigabyte are views of one such Buffer.
 */
export function codePointer({ ref }: FfiPackages, address: number): Buffer {
  let window = windows.find(({ start }) => address >= start && address < start + WINDOW);
  if (window === undefined) {
    const start = Math.max(4096, address - BEFORE);
    const pointer = Buffer.alloc(8);
    pointer.writeBigUInt64LE(BigInt(start));
    // eslint-disable-next-line no-restricted-properties -- the one such Buffer, instead of one for each function
    window = { start, memory: ref.readPointer(pointer, 0, WINDOW) };
    windows.push(window);
  }
  const at = address - window.start;
  return window.memory.subarray(at, at + 1);
}
