import { randomBytes, randomFillSync } from 'node:crypto';
import type { Random } from '../base/index.ts';

/** Bytes that are drawn at once: what asks for a few at a time is most, and each draw by itself costs ten times more. */
const POOL = 4096;
/** What is larger than this is drawn by itself. */
const MOST = 256;

/** Randomness of the machine from a pool. No byte is given twice: what was given is wiped from the pool. */
class PooledRandom implements Random {
  readonly #pool = new Uint8Array(POOL);
  #used = POOL;

  bytes(length: number): Uint8Array {
    if (!Number.isInteger(length) || length < 0 || length > MOST) return new Uint8Array(randomBytes(length));
    if (this.#used + length > POOL) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const end = this.#used + length;
    const given = this.#pool.slice(this.#used, end);
    this.#pool.fill(0, this.#used, end);
    this.#used = end;
    return given;
  }
}

/** The machine's randomness: the command line is a composition root. */
export const systemRandom: Random = new PooledRandom();
