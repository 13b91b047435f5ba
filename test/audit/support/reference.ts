/**
 * RFC 6962 §2.1 as it is written: recursive, over the list of entries D. It shares no code with src/audit. Hashes are
 * hex; D[lo:hi] is hashed once.
 */
import { createHash } from 'node:crypto';

/** k, the largest power of two smaller than n. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export class ReferenceTree {
  readonly #entries: readonly Uint8Array[];
  readonly #known = new Map<string, string>();

  constructor(entries: readonly Uint8Array[]) {
    this.#entries = entries;
  }

  /** MTH(D[lo:hi]) */
  mth(lo: number, hi: number): string {
    const name = `${lo}:${hi}`;
    let hash = this.#known.get(name);
    if (hash === undefined) this.#known.set(name, (hash = this.#hash(lo, hi)));
    return hash;
  }

  /** PATH(m, D[lo:hi]) */
  path(m: number, lo: number, hi: number): string[] {
    if (hi - lo === 1) return [];
    const k = split(hi - lo);
    return m < k
      ? [...this.path(m, lo, lo + k), this.mth(lo + k, hi)]
      : [...this.path(m - k, lo + k, hi), this.mth(lo, lo + k)];
  }

  /** SUBPROOF(m, D[lo:hi], known); PROOF(m, D[n]) is SUBPROOF(m, D[n], true). */
  proof(m: number, lo: number, hi: number, known = true): string[] {
    if (m === hi - lo) return known ? [] : [this.mth(lo, hi)];
    const k = split(hi - lo);
    return m <= k
      ? [...this.proof(m, lo, lo + k, known), this.mth(lo + k, hi)]
      : [...this.proof(m - k, lo + k, hi, false), this.mth(lo, lo + k)];
  }

  #hash(lo: number, hi: number): string {
    const hash = createHash('sha256');
    if (hi - lo === 1) hash.update(Uint8Array.of(0)).update(this.#entries[lo]!);
    if (hi - lo > 1) {
      const middle = lo + split(hi - lo);
      hash.update(Uint8Array.of(1));
      hash.update(this.mth(lo, middle), 'hex').update(this.mth(middle, hi), 'hex');
    }
    return hash.digest('hex');
  }
}
