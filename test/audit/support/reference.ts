/**
 * RFC 6962 §2.1 as it is written: recursive, over the whole list of entries. Slow, and independent of src/audit: it
 * shares no code with it.
 */
import { createHash } from 'node:crypto';

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

/** k, the largest power of two smaller than n. */
function k(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

/** MTH(D[n]) */
export function mth(entries: readonly Uint8Array[]): Uint8Array {
  const [only] = entries;
  if (only === undefined) return sha256();
  if (entries.length === 1) return sha256(Uint8Array.of(0), only);
  const split = k(entries.length);
  return sha256(Uint8Array.of(1), mth(entries.slice(0, split)), mth(entries.slice(split)));
}

/** PATH(m, D[n]) */
export function path(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  if (entries.length === 1) return [];
  const split = k(entries.length);
  return m < split
    ? [...path(m, entries.slice(0, split)), mth(entries.slice(split))]
    : [...path(m - split, entries.slice(split)), mth(entries.slice(0, split))];
}

/** PROOF(m, D[n]) */
export function proof(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  return subproof(m, entries, true);
}

function subproof(m: number, entries: readonly Uint8Array[], known: boolean): Uint8Array[] {
  if (m === entries.length) return known ? [] : [mth(entries)];
  const split = k(entries.length);
  return m <= split
    ? [...subproof(m, entries.slice(0, split), known), mth(entries.slice(split))]
    : [...subproof(m - split, entries.slice(split), false), mth(entries.slice(0, split))];
}
