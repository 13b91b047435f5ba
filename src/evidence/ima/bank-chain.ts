import { hash } from 'node:crypto';
import type { HashName } from '../../tpm/index.ts';
import { digestSize } from '../../tpm/index.ts';

/**
 * What a kernel extends a bank with. One kernel uses one way per bank for a whole boot; lists are never matched with
 * a mixture.
 * - `hash`: H_bank(template data); Linux ≥ 5.8, and the sha1 bank of every kernel
 * - `padded`: the SHA-1 template digest and zeros, where Linux ≥ 5.8 could not allocate the bank's hash;
 *   violations extend ff…ff
 * - `padded-legacy`: Linux < 5.8: the same, but violations extend twenty ff and zeros
 */
export type BankMode = 'hash' | 'padded' | 'padded-legacy';

/** A value of one PCR that is extended entry by entry. */
export class BankChain {
  readonly bank: HashName;
  readonly mode: BankMode;
  readonly size: number;
  /** PCR value ‖ digest to extend: the one buffer that is hashed again and again. */
  readonly #buffer: Buffer;

  /** @param start the value to go on from; a reset PCR when left out */
  constructor(bank: HashName, mode: BankMode, start?: Uint8Array) {
    this.bank = bank;
    this.mode = mode;
    this.size = digestSize(bank);
    this.#buffer = Buffer.alloc(2 * this.size);
    if (start !== undefined) {
      if (start.length !== this.size) throw new TypeError(`${bank} value of ${String(start.length)} bytes`);
      this.#buffer.set(start);
    }
  }

  /**
   * Extends with the `length` bytes of `from` at `at`, zero-padded to the bank's size.
   * @param length the bank's size, or 20 for a SHA-1 digest
   */
  extend(from: Uint8Array, at: number, length: number): void {
    const buffer = this.#buffer;
    const size = this.size;
    for (let i = 0; i < length; i++) buffer[size + i] = from[at + i] ?? 0;
    if (length < size) buffer.fill(0, size + length);
    this.#step();
  }

  /** Extends with what the kernel writes when a file could have changed while it was measured. */
  extendViolation(): void {
    this.#buffer.fill(0xff, this.size);
    if (this.mode === 'padded-legacy') this.#buffer.fill(0, this.size + LEGACY_VIOLATION);
    this.#step();
  }

  /** True when the running value is `value`. Neither is secret, and this runs once per entry. */
  equals(value: Uint8Array): boolean {
    for (let i = 0; i < this.size; i++) if (this.#buffer[i] !== value[i]) return false;
    return value.length === this.size;
  }

  /** A copy of the running value. */
  value(): Uint8Array {
    return new Uint8Array(this.#buffer).slice(0, this.size);
  }

  #step(): void {
    this.#buffer.write(hash(this.bank, this.#buffer, 'binary'), 0, this.size, 'latin1');
  }
}

const LEGACY_VIOLATION = 20;
