import { toBase64url } from '../base/index.ts';
import type { Random } from '../base/index.ts';

/** Nonces that one process may have open: an attacker who asks for more only pushes out others' chance, not memory. */
const MAX_OPEN = 100_000;

/**
 * Nonces of a relying party: each is good for one request, for a while, in this process. Services with several processes
 * keep theirs where all of them look.
 */
export class Nonces {
  readonly #random: Random;
  readonly #lifetime: number;
  /** Nonce → Unix seconds of its end; in the order in which they were given out, which is that of their ends. */
  readonly #open = new Map<string, number>();

  /** @param lifetime seconds */
  constructor(random: Random, lifetime = 60) {
    this.#random = random;
    this.#lifetime = lifetime;
  }

  /** A new nonce: 16 random bytes, base64url. @param now Unix seconds */
  issue(now: number): string {
    for (const [nonce, end] of this.#open) {
      if (end > now && this.#open.size < MAX_OPEN) break;
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
