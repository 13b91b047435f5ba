import { toBase64url } from '../base/index.ts';
import type { Random } from '../base/index.ts';

/**
 * Nonces of a relying party: each is good for one request, for a while, in this process. Services with several processes
 * keep theirs where all of them look.
 */
export class Nonces {
  readonly #random: Random;
  readonly #lifetime: number;
  readonly #capacity: number;
  /** Nonce → Unix seconds of its end; in the order in which they were given out, which is that of their ends. */
  readonly #open = new Map<string, number>();

  /**
   * @param lifetime seconds
   * @param capacity nonces that may be open: who asks for more than that pushes out the oldest, and costs no memory
   */
  constructor(random: Random, lifetime = 60, capacity = 100_000) {
    this.#random = random;
    this.#lifetime = lifetime;
    this.#capacity = capacity;
  }

  /** A new nonce: 16 random bytes, base64url. @param now Unix seconds */
  issue(now: number): string {
    for (const [nonce, end] of this.#open) {
      if (end > now && this.#open.size < this.#capacity) break;
      this.#open.delete(nonce);
    }
    const nonce = toBase64url(this.#random.bytes(16));
    this.#open.set(nonce, now + this.#lifetime);
    return nonce;
  }

  /** True when the nonce was given out, is in its time and was not used; it is used then. */
  take(nonce: string, now: number): boolean {
    const end = this.#open.get(nonce);
    this.#open.delete(nonce);
    return end !== undefined && now < end;
  }
}
