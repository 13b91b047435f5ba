import { refuse, toHex } from '../../base/index.ts';
import { digestSize, isDigestOf } from '../algorithms.ts';
import type { HashName } from '../algorithms.ts';
import type { QuoteAttest } from '../attest.ts';
import type { PcrSelection } from '../pcr-selection.ts';

/** PCR values as somebody claims them: nothing may use them before {@link VerifiedPcrs} was made of them. */
export type ClaimedPcrs = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>;

/** One verified value. */
export interface PcrValue {
  readonly bank: HashName;
  readonly index: number;
  readonly value: Uint8Array;
}

/**
 * e23: the values of exactly the PCRs that a verified quote selects, keyed by bank and index. The verifier of quotes
 * is the only one that makes them, so a function that asks for this type can't be given unverified values
 * (CVE-2022-0317: values that no quote covered were trusted).
 */
class VerifiedPcrs {
  /** As signed. */
  readonly selection: PcrSelection;
  /** All selected values one after the other, in selection order. */
  readonly #values: Uint8Array;

  /** @param values owned by this object */
  constructor(selection: PcrSelection, values: Uint8Array) {
    this.selection = selection;
    this.#values = values;
  }

  /** A copy of the value; undefined when the quote doesn't cover this PCR of this bank. */
  get(bank: HashName, index: number): Uint8Array | undefined {
    let start = 0;
    for (const selected of this.selection) {
      const size = digestSize(selected.bank);
      const at = selected.bank === bank ? selected.pcrs.indexOf(index) : -1;
      if (at >= 0) return this.#values.slice(start + at * size, start + (at + 1) * size);
      start += selected.pcrs.length * size;
    }
    return undefined;
  }

  /** Every value in selection order. */
  *[Symbol.iterator](): Generator<PcrValue> {
    for (const { bank, pcrs } of this.selection) {
      for (const index of pcrs) {
        const value = this.get(bank, index);
        if (value !== undefined) yield { bank, index, value };
      }
    }
  }
}

export type { VerifiedPcrs };

/**
 * e21, e22: the claimed values are those that were signed. For the quote verifier only: whoever calls this vouches
 * for the attestation.
 * @param hash of the signing scheme: it also makes the digest
 * @throws Refusal `e21` or `e22`
 */
export function verifyPcrValues(
  { attested }: Pick<QuoteAttest, 'attested'>,
  hash: HashName,
  claimed: ClaimedPcrs,
): VerifiedPcrs {
  const values = e21Keys(attested.pcrSelection, claimed);
  e22Digest(attested.pcrDigest, hash, values);
  return new VerifiedPcrs(attested.pcrSelection, values);
}

/** e21: a value for each selected PCR, of its bank's size, and no other; gives them in selection order. */
function e21Keys(selection: PcrSelection, claimed: ClaimedPcrs): Uint8Array {
  let selected = 0;
  let size = 0;
  for (const { bank, pcrs } of selection) {
    selected += pcrs.length;
    size += pcrs.length * digestSize(bank);
  }
  const values = memory(size);
  let at = 0;
  for (const { bank, pcrs } of selection) {
    const ofBank = claimed.get(bank);
    const length = digestSize(bank);
    for (const index of pcrs) {
      const value = ofBank?.get(index);
      if (value?.length !== length) return wrongKeys(selection, claimed);
      values.set(value, at);
      at += length;
    }
  }
  let given = 0;
  for (const ofBank of claimed.values()) given += ofBank.size;
  return given === selected ? values : wrongKeys(selection, claimed);
}

/** Bytes that are taken at once for the values of some twenty quotes. */
const ARENA = 16384;
let arena = new ArrayBuffer(ARENA);
let used = 0;

/** Zeroed memory that nothing else has; a piece of a larger one takes a third of the time of memory of its own. */
function memory(size: number): Uint8Array {
  if (size > ARENA) return new Uint8Array(size);
  if (size > ARENA - used) {
    arena = new ArrayBuffer(ARENA);
    used = 0;
  }
  const piece = new Uint8Array(arena, used, size);
  used += size;
  return piece;
}

/** e22: their digest by the signing scheme's hash is the signed one. */
function e22Digest(pcrDigest: Uint8Array, hash: HashName, values: Uint8Array): void {
  if (!isDigestOf(hash, values, pcrDigest)) {
    refuse('e22', 'the PCR values are not those that were quoted', { quoted: toHex(pcrDigest) });
  }
}

function wrongKeys(selection: PcrSelection, claimed: ClaimedPcrs): never {
  const selected = new Set(
    selection.flatMap(({ bank, pcrs }) => pcrs.map((index) => `${bank}:${String(index)}`)),
  );
  const given = [...claimed].flatMap(([bank, values]) =>
    [...values.keys()].map((index) => `${bank}:${String(index)}`),
  );
  const wrongSize = [...claimed].flatMap(([bank, values]) =>
    [...values]
      .filter(([, value]) => value.length !== digestSize(bank))
      .map(([index]) => `${bank}:${String(index)}`),
  );
  refuse('e21', 'the PCRs given are not exactly those that were quoted', {
    notQuoted: given.filter((name) => !selected.has(name)),
    missing: [...selected].filter((name) => !given.includes(name)),
    wrongSize,
  });
}
