import { refuse } from './refusal.ts';

/**
 * The one bounds-checked cursor over received bytes. Every TPM, TCG, IMA and DER structure is read through it.
 *
 * Multi-byte integers are big-endian (TPM 2.0 Part 1 §"Structure Definitions"); the `…le` methods are for the
 * little-endian formats of the PC Client event log and of IMA. Views are handed out, never copies. Reading past
 * the end, and {@link Reader.end} before it, throw a `Refusal` with check `malformed` whose detail names the
 * structure and the absolute offset.
 */
export class Reader {
  readonly structure: string;
  readonly #bytes: Uint8Array;
  readonly #base: number;
  #at = 0;

  /**
   * @param bytes the buffer; it is not copied, the caller keeps it unchanged while values are in use
   * @param structure the name used in refusals, e.g. `TPMT_PUBLIC`
   * @param base offset of `bytes` in the outermost buffer, so that nested readers report absolute offsets
   */
  constructor(bytes: Uint8Array, structure: string, base = 0) {
    this.#bytes = bytes;
    this.structure = structure;
    this.#base = base;
  }

  /** Absolute offset of the next byte in the outermost buffer. */
  get offset(): number {
    return this.#base + this.#at;
  }

  /** Bytes that are left. */
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#byte(this.#take(1));
  }

  u16(): number {
    const at = this.#take(2);
    return (this.#byte(at) << 8) | this.#byte(at + 1);
  }

  u32(): number {
    return this.#quad(this.#take(4));
  }

  u64(): bigint {
    const at = this.#take(8);
    return wide(this.#quad(at), this.#quad(at + 4));
  }

  u16le(): number {
    const at = this.#take(2);
    return this.#byte(at) | (this.#byte(at + 1) << 8);
  }

  u32le(): number {
    return this.#quadLe(this.#take(4));
  }

  u64le(): bigint {
    const at = this.#take(8);
    return wide(this.#quadLe(at + 4), this.#quadLe(at));
  }

  /** A view of the next `length` bytes; the length is checked against what remains before anything else. */
  bytes(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Moves over `length` bytes without making a view: for formats whose records are hashed by the hundred thousand. */
  skip(length: number): void {
    this.#take(length);
  }

  /** A TPM2B: u16 length, then that many bytes (at most `max`). */
  sized16(max = 0xffff): Uint8Array {
    const length = this.u16();
    if (length > max) this.malformed(`length ${String(length)} is over the limit of ${String(max)}`);
    return this.bytes(length);
  }

  /** A reader over the next `length` bytes only, reporting absolute offsets. */
  nested(length: number, structure: string): Reader {
    const base = this.offset;
    return new Reader(this.bytes(length), structure, base);
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.remaining);
  }

  /** The bytes read so far from this reader's start: what a name or a signature is computed over. */
  consumed(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  /** A copyless look at the next `length` bytes without moving; undefined when fewer remain. */
  peek(length: number): Uint8Array | undefined {
    return length > this.remaining ? undefined : this.#bytes.subarray(this.#at, this.#at + length);
  }

  /** @throws Refusal `malformed` when bytes are left over: trailing data is never ignored. */
  end(): void {
    if (this.remaining !== 0) this.malformed(`${String(this.remaining)} trailing bytes`);
  }

  /** Refuses at the current offset; for values that are read well but can't be. */
  malformed(reason: string): never {
    refuse('malformed', `${this.structure}: ${reason} at offset ${String(this.offset)}`, {
      structure: this.structure,
      offset: this.offset,
    });
  }

  // Numbers are put together by hand: making a DataView takes longer than reading most structures. The callers of
  // these three have taken the bytes, so none of them is missing.

  #byte(at: number): number {
    return this.#bytes[at] ?? 0;
  }

  #quad(at: number): number {
    const low = (this.#byte(at + 1) << 16) | (this.#byte(at + 2) << 8) | this.#byte(at + 3);
    return this.#byte(at) * 0x1000000 + low;
  }

  #quadLe(at: number): number {
    const low = this.#byte(at) | (this.#byte(at + 1) << 8) | (this.#byte(at + 2) << 16);
    return this.#byte(at + 3) * 0x1000000 + low;
  }

  #take(length: number): number {
    if (!Number.isSafeInteger(length) || length < 0) this.malformed(`impossible length ${String(length)}`);
    if (length > this.remaining) {
      this.malformed(`needs ${String(length)} bytes, ${String(this.remaining)} remain`);
    }
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

/** high · 2³² + low; through a number where one holds it exactly, which spares two BigInts. */
function wide(high: number, low: number): bigint {
  return high < 0x200000 ? BigInt(high * 0x100000000 + low) : (BigInt(high) << 32n) | BigInt(low);
}
