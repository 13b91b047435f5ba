import { leafHash, parseLeaf, verifyInclusion } from '../audit/index.ts';
import type { AuditLeaf } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import type { LineageQuestion } from './answer.ts';
import { LISTED_BY, isOrigin } from './keys.ts';
import type { Origin } from './keys.ts';
import { MAX_CHAIN } from './read-entry.ts';
import { executionOf, reasonHolds } from './reason.ts';

/** A page as it was received: well formed, nothing of it believed. */
export interface ClaimedPage {
  readonly found: readonly { readonly decision: bigint; readonly because: bigint }[];
  readonly entries: readonly {
    readonly index: bigint;
    readonly data: Uint8Array;
    /** The inclusion proof: 32 bytes each. */
    readonly proof: readonly Uint8Array[];
  }[];
}

/** The tree that entries are proved in: of a checkpoint that was verified. */
export interface ProvedIn {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** An entry that is in the log, and its proof. */
export interface ProvedEntry {
  readonly leaf: AuditLeaf;
  readonly data: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** A page that was verified. */
export interface VerifiedPage {
  /** By index. */
  readonly entries: ReadonlyMap<string, ProvedEntry>;
  /** The executions found, in the order of the log. */
  readonly found: readonly { readonly origin: Origin; readonly because: AuditLeaf }[];
}

/**
 * Verifies a page: each entry is in the tree, and each execution belongs into the answer, as the entries alone say. What
 * was left out can't be seen in a page; who wants to know that reads the whole log.
 * @throws Refusal `log-inclusion`, `malformed`, `lineage-incomplete` when the way to an origin isn't there,
 *   `lineage-foreign` when something isn't what was asked for
 */
export function verifyPage(question: LineageQuestion, page: ClaimedPage, tree: ProvedIn): VerifiedPage {
  const entries = new Map<string, ProvedEntry>();
  for (const { index, data, proof } of page.entries) {
    verifyInclusion({ index, ...tree, leafHash: leafHash(data), proof });
    const leaf = parseLeaf(data);
    if (leaf.index !== String(index))
      refuse('lineage-foreign', 'an entry says that it is another one', { entry: String(index) });
    entries.set(leaf.index, { leaf, data, proof });
  }
  const chains = new Chains([...entries.values()].map(({ leaf }) => leaf));
  const found = page.found.map(({ decision, because }) => {
    const origin = entries.get(String(decision))?.leaf;
    const reason = entries.get(String(because))?.leaf;
    if (origin === undefined || reason === undefined || !isOrigin(origin))
      return refuse('lineage-incomplete', 'the answer lacks an entry that it names', {
        entry: String(decision),
      });
    requireAsked(question, chains.of(origin), reason);
    return { origin, because: reason };
  });
  // An empty page says that there is no such execution; the whole log can say otherwise.
  if (question.ask === 'ancestors' && page.found.length > 0)
    requireAncestry(
      question.executionId,
      chains,
      found.map(({ origin }) => origin),
    );
  return { entries, found };
}

/** An execution of the answer is one that was asked for. */
function requireAsked(question: LineageQuestion, chain: readonly Origin[], because: AuditLeaf): void {
  if (question.ask === 'list') {
    const kinds = LISTED_BY.filter((kind) => question.kinds.length === 0 || question.kinds.includes(kind));
    if (kinds.some((kind) => reasonHolds(chain, because, { kind, id: question.id }))) return;
  } else if (question.ask === 'descendants') {
    if (chain.some((one) => executionOf(one) === question.executionId)) return;
  } else return;
  refuse('lineage-foreign', 'the answer has an execution that was not asked for', {
    entry: chain[0]?.index ?? '',
  });
}

/** An ancestry is the execution and its ancestors up to an origin, all of them and nobody else. */
function requireAncestry(executionId: string, chains: Chains, found: readonly Origin[]): void {
  const first = chains.get(executionId);
  if (first === undefined)
    refuse('lineage-incomplete', 'the answer lacks the execution itself', { executionId });
  const wanted = new Set(chains.of(first).map(({ index }) => index));
  for (const { index } of found)
    if (!wanted.delete(index))
      refuse('lineage-foreign', 'the answer has an execution that is no ancestor', { entry: index });
  if (wanted.size > 0)
    refuse('lineage-incomplete', 'the answer doesn’t name every ancestor', { executionId });
}

/** Ways up, from the entries of one page. */
class Chains {
  readonly #origins: ReadonlyMap<string, Origin>;

  constructor(leaves: readonly AuditLeaf[]) {
    // The first wins: an id is decided once.
    const origins = leaves.filter(isOrigin).sort((a, b) => Number(b.index) - Number(a.index));
    this.#origins = new Map(origins.map((one) => [executionOf(one), one]));
  }

  get(executionId: string): Origin | undefined {
    return this.#origins.get(executionId);
  }

  /** The decision, its parent's, up to an origin without one. */
  of(origin: Origin): readonly Origin[] {
    const chain = [origin];
    for (let last = origin; last.parent !== null;) {
      const parent = this.#origins.get(last.parent);
      // Parents come first in the log: so no way is a circle.
      if (parent === undefined || BigInt(parent.index) >= BigInt(last.index) || chain.length === MAX_CHAIN)
        refuse('lineage-incomplete', 'the answer lacks the parent of an execution', { parent: last.parent });
      chain.push(parent);
      last = parent;
    }
    return chain;
  }
}
