import { endianness } from 'node:os';
import { loadLibrary, LIBRARIES } from './library.ts';

/** A pointer that C gave us. Only ever handed back to C; 0 is NULL. */
export type Address = number;

/**
 * Room for any structure of tpm2-tss 3 or 4. TypeScript knows no C layout, so each structure gets the same room: the
 * largest that is passed in, TPM2B_MAX_NV_BUFFER, has 2 050 bytes, TPM2B_PRIVATE about 1 600.
 */
const STRUCTURE_ROOM = 4096;

if (endianness() !== 'LE') throw new Error('node-tpm2 reads C integers as little-endian: x64 and arm64 only');

/**
 * An opaque C structure in our own memory, zero at first. Its memory is used again: thousands of 4 KiB buffers that
 * wait for the garbage collector would be most of this process's memory.
 */
export class Structure {
  static readonly #free: Buffer[] = [];
  readonly memory: Buffer = Structure.#free.pop() ?? Buffer.alloc(STRUCTURE_ROOM);

  /** Wipes it, since it may have held a secret, and gives it back: C must be done with it. */
  release(): void {
    this.memory.fill(0);
    Structure.#free.push(this.memory);
  }
}

/** Room for one pointer or integer (at most 8 bytes) that a C function writes; its memory too is used again. */
export class OutSlot {
  static readonly #free: Buffer[] = [];
  readonly memory: Buffer = OutSlot.#free.pop() ?? Buffer.alloc(8);

  constructor(initial: Address = 0) {
    this.memory.writeBigUInt64LE(BigInt(initial));
  }

  /** Gives its memory back: C must be done with it. */
  release(): void {
    OutSlot.#free.push(this.memory);
  }

  get address(): Address {
    return Number(this.memory.readBigUInt64LE());
  }

  get u32(): number {
    return this.memory.readUInt32LE();
  }

  get u8(): number {
    return this.memory.readUInt8();
  }
}

/** Copies `length` bytes that belong to C. */
export function copyBytes(address: Address, length: number): Buffer {
  const memcpy = loadLibrary(LIBRARIES.c).function('memcpy', 'address', ['memory', 'address', 'size']);
  const copy = Buffer.alloc(length);
  memcpy(copy, address, length);
  return copy;
}

/** Copies a NUL-terminated string (at most `max` bytes of it) that belongs to C. */
export function copyText(address: Address, max = 1024): string {
  if (address === 0) return '';
  const strlen = loadLibrary(LIBRARIES.c).function('strlen', 'size', ['address']);
  const length = Math.min(strlen(address), max);
  return length === 0 ? '' : copyBytes(address, length).toString('utf8');
}
