import { hash } from 'node:crypto';
import { digestSize } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';

/**
 * The value of one PCR while it is extended: P = H(P || digest) (TPM 2.0 Part 1 §17.3). Value and next digest lie side
 * by side in one buffer, so that an extend allocates nothing but the hash's text.
 */
export class PcrState {
  readonly #bank: HashName;
  readonly #size: number;
  readonly #buffer: Buffer;

  /** @param start the value to begin with; zeros without it */
  constructor(bank: HashName, start?: Uint8Array) {
    this.#bank = bank;
    this.#size = digestSize(bank);
    this.#buffer = Buffer.alloc(2 * this.#size);
    if (start !== undefined) this.#buffer.set(start);
  }

  /** @param digest of the bank's size @throws RangeError when it is longer */
  extend(digest: Uint8Array): this {
    this.#buffer.set(digest, this.#size);
    this.#buffer.write(hash(this.#bank, this.#buffer, 'binary'), 0, this.#size, 'latin1');
    return this;
  }

  /** Extends H(text), as software does that measures strings. */
  extendText(text: string): this {
    return this.extend(hash(this.#bank, text, 'buffer'));
  }

  /** True when this is the value now. */
  is(value: Uint8Array): boolean {
    return value.length === this.#size && this.#buffer.compare(value, 0, this.#size, 0, this.#size) === 0;
  }

  /** A copy of the value. */
  value(): Uint8Array {
    return new Uint8Array(this.#buffer).slice(0, this.#size);
  }
}
