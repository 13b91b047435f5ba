import { fromBase64, refuse, shape, utf8 } from '../base/index.ts';
import type { ClaimedPage, LineageQuestion } from '../lineage/index.ts';
import { read } from './read.ts';
import type { VerifierClient } from './verifier-client.ts';

/** A page of lineage as it came: `sealgate/lineage` verifies it. */
export interface ReceivedPage extends ClaimedPage {
  /** Attestation results (EAR) that are still kept, by the index of the decision or renewal that names them. */
  readonly results: Readonly<Record<string, string>>;
  /** Where the next page begins; null at the end. */
  readonly next: number | null;
}

const { decimal, list, map, nullable, object, text } = shape;
/** Executions in one page, each with a bounded number of entries. */
const MAX_ENTRIES = 10_000;
const PAGE_BYTES = 48 * 1024 * 1024;
const PAGE = object({
  size: decimal,
  found: list(object({ decision: decimal, because: decimal }), MAX_ENTRIES),
  entries: list(
    object({ index: decimal, leaf: text({ max: 65_536 }), proof: list(text({ min: 44, max: 44 }), 64) }),
    MAX_ENTRIES,
  ),
  results: map(/^(?:0|[1-9]\d{0,15})$/, text({ max: 65_536 }), MAX_ENTRIES),
  next: nullable(decimal),
});

/**
 * One page of lineage, with proofs in the tree of the question's size. Needs an auditor.
 * @throws VerifierRefusal `not-found` for an execution that the log doesn't know
 */
export async function fetchLineage(client: VerifierClient, question: LineageQuestion): Promise<ReceivedPage> {
  const answer = await client.request('GET', pathOf(question), { maxBytes: PAGE_BYTES });
  const body = read(PAGE, answer.json);
  if (body.size !== String(question.size))
    refuse('verifier-answer', 'the proofs are in a tree of another size', { size: body.size });
  const next = body.next === null ? null : Number(body.next);
  // A page that doesn't lead on would be asked for without end; ancestors come in one.
  const isLater = next === null || (question.ask !== 'ancestors' && next > (question.after ?? -1));
  if (!isLater) refuse('verifier-answer', 'the next page is not a later one');
  return {
    found: body.found.map(({ decision, because }) => ({
      decision: BigInt(decision),
      because: BigInt(because),
    })),
    entries: body.entries.map(({ index, leaf, proof }) => ({
      index: BigInt(index),
      data: utf8(leaf),
      proof: proof.map((hash) => fromBase64(hash, 'inclusion proof')),
    })),
    results: body.results,
    next,
  };
}

function pathOf(question: LineageQuestion): string {
  const query = new URLSearchParams({ size: String(question.size) });
  if (question.ask !== 'ancestors') {
    query.set('limit', String(question.limit));
    if (question.after !== null) query.set('after', String(question.after));
  }
  if (question.ask === 'list') {
    const [kind] = question.kinds;
    query.set('id', question.id);
    if (kind !== undefined) query.set('by', kind);
    return `/v1/lineage?${query.toString()}`;
  }
  query.set('direction', question.ask);
  return `/v1/lineage/${encodeURIComponent(question.executionId)}?${query.toString()}`;
}
