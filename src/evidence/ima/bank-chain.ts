import type { HashName } from '../../tpm/index.ts';
import { digestSize } from '../../tpm/index.ts';
import { hashWords } from './hash-words.ts';

/**
 * What a kernel extends a bank with. One kernel uses one way per bank for a whole boot; lists are never matched with
 * a mixture.
 * - `hash`: H_bank(template data); Linux ≥ 5.8, and the sha1 bank of every kernel
 * - `padded`: the SHA-1 template digest and zeros, where Linux ≥ 5.8 could not allocate the bank's hash;
 *   violations extend ff…ff
 * - `padded-legacy`: Linux < 5.8: the same, but violations extend twenty ff and zeros
 */
export type BankMode = 'hash' | 'padded' | 'padded-legacy';

const SHA1_SIZE = 20;

/** A value of one PCR that is extended entry by entry. */
export class BankChain {
  readonly bank: HashName;
  readonly mode: BankMode;
  readonly size: number;
  /** PCR value ‖ digest to extend: the one buffer that is hashed again and again. */
  readonly #buffer: Uint8Array;
  /** The same memory. */
  readonly #words: Uint32Array;

  /** @param start the value to go on from; a reset PCR when left out */
  constructor(bank: HashName, mode: BankMode, start?: Uint8Array) {
    this.bank = bank;
    this.mode = mode;
    this.size = digestSize(bank);
    const memory = new ArrayBuffer(2 * this.size);
    this.#buffer = new Uint8Array(memory);
    this.#words = new Uint32Array(memory);
    if (start !== undefined) {
      if (start.length !== this.size) throw new TypeError(`${bank} value of ${String(start.length)} bytes`);
      this.#buffer.set(start);
    }
  }

  /** Extends with the digest of this bank's size that begins at word `at`. */
  extend(digests: Uint32Array, at: number): void {
    const words = this.#words;
    const half = words.length / 2;
    for (let i = 0; i < half; i++) words[half + i] = digests[at + i] ?? 0;
    this.#step();
  }

  /** Extends with the SHA-1 digest of `from` at `at`, zero-padded to the bank's size. */
  extendSha1(from: Uint8Array, at: number): void {
    const buffer = this.#buffer;
    const size = this.size;
    for (let i = 0; i < SHA1_SIZE; i++) buffer[size + i] = from[at + i] ?? 0;
    buffer.fill(0, size + SHA1_SIZE);
    this.#step();
  }

  /** Extends with what the kernel writes when a file could have changed while it was measured. */
  extendViolation(): void {
    this.#buffer.fill(0xff, this.size);
    if (this.mode === 'padded-legacy') this.#buffer.fill(0, this.size + SHA1_SIZE);
    this.#step();
  }

  /** True when the running value is `value`. Neither is secret, and this runs once per entry. */
  equals(value: Uint8Array): boolean {
    for (let i = 0; i < this.size; i++) if (this.#buffer[i] !== value[i]) return false;
    return value.length === this.size;
  }

  /** A copy of the running value. */
  value(): Uint8Array {
    return this.#buffer.slice(0, this.size);
  }

  #step(): void {
    hashWords(this.bank, this.#buffer, this.#words, 0);
  }
}
