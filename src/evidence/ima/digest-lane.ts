import { COLUMN, FLAG, STRIDE } from './entries.ts';
import type { DigestOrder, DigestedEntries } from './entries.ts';
import { KNOWN_TEMPLATE } from './known-digests.ts';
import type { KnownDigests } from './known-digests.ts';

/** Whole entries of a list on their way to be digested. */
export interface EntryBatch {
  readonly bytes: Uint8Array;
  /** Offset in the list. */
  readonly base: number;
  /** Entries in it. */
  readonly count: number;
}

/** A batch that was digested; valid until the lane is used again. */
export interface DigestedBatch {
  readonly bytes: Uint8Array;
  readonly base: number;
  readonly digested: DigestedEntries;
}

/** Digests the batches of one pass over a list, one behind the other. */
export interface DigestLane {
  /** Batches that may wait at a time; memory grows with it, not with the list. */
  readonly depth: number;
  /** Batches that were put and not yet taken. */
  readonly waiting: number;
  /** What a batch should not have more of; only one that is a single entry may be longer. */
  readonly batchBytes: number;
  readonly batchEntries: number;
  /** Adds a batch; its memory is the caller's again at once. Only when fewer than `depth` wait. */
  put(batch: EntryBatch): void;
  /**
   * The oldest batch.
   * @throws Refusal as `digestEntries` does for it
   */
  take(): Promise<DigestedBatch>;
  /** Nothing more is wanted, also when batches wait. */
  end(): void;
}

/** Digests batches somewhere else, e.g. in a worker: what `digestEntries` gives for the same order. */
export interface EntryDigester {
  /** For one pass, each with its own banks and allow-list; several passes may run at a time. */
  begin(order: Omit<DigestOrder, 'base' | 'memory' | 'maxEntries'>): DigestLane;
}

/**
 * Looks at what another thread says of a batch, where believing it would count for something: the quote proves the
 * digests, since a wrong one gives a wrong PCR, but that an entry is a known one must follow from its digest here.
 * @returns false when any of it can't be; then the batch is digested again
 */
export function isPlausible(
  { bytes, count }: EntryBatch,
  digested: DigestedEntries,
  known: KnownDigests | undefined,
): boolean {
  const { table, templates, digests } = digested;
  if (digested.count !== count || digested.consumed !== bytes.length) return false;
  const knownTemplate = templates.indexOf(KNOWN_TEMPLATE);
  const sha256 = digests.sha256;
  for (let i = 0, row = 0; i < count; i++, row += STRIDE) {
    const template = table[row + COLUMN.template] ?? templates.length;
    if (template >= templates.length) return false;
    if (table[row + COLUMN.flags] !== FLAG.known) continue;
    if (template !== knownTemplate || known === undefined || sha256 === undefined) return false;
    if (!known.is(table[row + COLUMN.known] ?? 0, sha256, i * 8)) return false;
  }
  return true;
}
