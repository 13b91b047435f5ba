/**
 * The one encoder, counterpart of `Reader`: big-endian, growing, with range checks on every value.
 * @throws RangeError when a value doesn't fit its field; encoding is never silently truncated.
 */
export class Writer {
  #parts: Uint8Array[] = [];
  #length = 0;

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    return this.#number(value, 1);
  }

  u16(value: number): this {
    return this.#number(value, 2);
  }

  u32(value: number): this {
    return this.#number(value, 4);
  }

  u64(value: bigint): this {
    if (value < 0n || value > 0xffff_ffff_ffff_ffffn)
      throw new RangeError(`u64 out of range: ${String(value)}`);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, false);
    return this.bytes(bytes);
  }

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return this;
  }

  /** A TPM2B: u16 length, then the bytes. */
  sized16(bytes: Uint8Array): this {
    return this.u16(bytes.length).bytes(bytes);
  }

  /** The encoding as one new buffer. */
  finish(): Uint8Array {
    return concat(this.#parts);
  }

  #number(value: number, size: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) {
      throw new RangeError(`u${String(8 * size)} out of range: ${String(value)}`);
    }
    const bytes = new Uint8Array(size);
    // What is stored in a byte is its lowest 8 bits.
    for (let i = 0; i < size; i++) bytes[i] = value >>> (8 * (size - 1 - i));
    return this.bytes(bytes);
  }
}

/** The parts one after the other in one new buffer. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
