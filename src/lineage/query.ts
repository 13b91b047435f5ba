import { refuse } from '../base/index.ts';
import type { LineagePage, LineageQuestion, Paging } from './answer.ts';
import { MAX_PAGE } from './answer.ts';
import { EntryCollection } from './collect.ts';
import { LISTED_BY } from './keys.ts';
import type { LineageKey, ListedBy, Origin } from './keys.ts';
import type { IndexRow, LineageSource } from './ports.ts';
import { MAX_CHAIN, indexWrong } from './read-entry.ts';
import type { FoundEntry } from './read-entry.ts';
import { reasonHolds } from './reason.ts';

/**
 * Answers a question from the index: one page, its executions and its bytes bounded, however large the graph is. Each
 * row is followed to its entry, and the entry must say what the row claims. Nothing is found below an execution that no
 * decision made, and not even itself.
 * @throws Refusal `lineage-index`; `lineage-page`
 */
export async function answerQuestion(source: LineageSource, question: LineageQuestion): Promise<LineagePage> {
  const collection = new EntryCollection(source, question.size);
  if (question.ask === 'ancestors') return await ancestors(collection, question.executionId);
  if (!Number.isSafeInteger(question.limit) || question.limit < 1 || question.limit > MAX_PAGE)
    refuse('lineage-page', `a page has 1 to ${String(MAX_PAGE)} executions`);
  if (question.ask === 'list') return await listed(collection, question);
  return await descendants(collection, question);
}

/** The execution, its parent, and so on up to the origin. */
async function ancestors(collection: EntryCollection, executionId: string): Promise<LineagePage> {
  const first = await collection.origin(executionId);
  const chain = first === undefined ? [] : await chainOf(collection, first);
  for (const origin of chain) {
    await collection.follow(origin);
    await collection.explain(origin);
  }
  return page(
    collection,
    chain.map(({ position }) => ({ node: position, leaf: position })),
    null,
  );
}

/** From an execution up to its root. @throws Refusal `lineage-index` when a parent is missing, later, or too far */
async function chainOf(
  collection: EntryCollection,
  first: FoundEntry<Origin>,
): Promise<readonly FoundEntry<Origin>[]> {
  const chain = [first];
  for (let last = first; last.leaf.parent !== null;) {
    const parent = await collection.origin(last.leaf.parent);
    if (parent === undefined) return indexWrong('it lacks the parent of an execution', last.position);
    // A parent was decided before its child, so no way along parents comes back to where it was.
    if (parent.position >= last.position) indexWrong('a parent comes after its child', last.position);
    if (chain.length === MAX_CHAIN) indexWrong('a chain is longer than delegation allows', last.position);
    chain.push(parent);
    last = parent;
  }
  return chain;
}

/** The execution and everything below it, in the order of the log: whoever reads it meets parents first. */
async function descendants(
  collection: EntryCollection,
  { executionId, after, limit }: Extract<LineageQuestion, { ask: 'descendants' }>,
): Promise<LineagePage> {
  const top = await collection.origin(executionId);
  if (top === undefined) return page(collection, [], null);
  await chainOf(collection, top);
  const found: IndexRow[] = [];
  if (after === null) {
    await collection.follow(top);
    await collection.explain(top);
    found.push({ node: top.position, leaf: top.position });
  }
  const start = after ?? top.position;
  const room = limit - found.length;
  const rows = await collection.rows({ kind: 'ancestor', id: executionId }, start, room + 1);
  let last = start;
  for (const row of rows.slice(0, room)) {
    if (collection.full) break;
    const origin = await collection.originAt(row.node);
    // The way up to the top is a part of the page: each page proves by itself that it belongs here.
    const chain = await chainOf(collection, origin);
    if (!chain.slice(1).some(({ position }) => position === top.position))
      indexWrong('it names an execution that doesn’t descend from this one', row.node);
    await collection.follow(origin);
    found.push(row);
    last = row.node;
  }
  return page(collection, found, rows.at(-1)?.node === last || rows.length === 0 ? null : last);
}

/** Executions that rest on something, in the order of the log. */
async function listed(
  collection: EntryCollection,
  { kinds, id, after, limit }: { readonly kinds: readonly string[]; readonly id: string } & Paging,
): Promise<LineagePage> {
  const wanted = listKeys(kinds, id);
  const start = after ?? -1;
  const rows = await mergedRows(collection, wanted, start, limit + 1);
  const found: IndexRow[] = [];
  let last = start;
  for (const { key, row } of rows.slice(0, limit)) {
    if (collection.full) break;
    const origin = await collection.originAt(row.node);
    await requireReason(collection, origin, key, row);
    await collection.follow(origin);
    found.push(row);
    last = row.node;
  }
  return page(collection, found, rows.at(-1)?.row.node === last || rows.length === 0 ? null : last);
}

function listKeys(kinds: readonly string[], id: string): readonly LineageKey[] {
  const known = LISTED_BY.filter((kind) => kinds.length === 0 || kinds.includes(kind));
  if (known.length < kinds.length) refuse('lineage-page', `executions are listed by ${LISTED_BY.join(', ')}`);
  return known.map((kind) => ({ kind, id }));
}

/** Rows of several keys as one list: each execution once, for the first reason in the order of the kinds. */
async function mergedRows(
  collection: EntryCollection,
  keys: readonly LineageKey[],
  after: number,
  limit: number,
): Promise<readonly { readonly key: LineageKey; readonly row: IndexRow }[]> {
  const byNode = new Map<number, { readonly key: LineageKey; readonly row: IndexRow }>();
  for (const key of keys)
    for (const row of await collection.rows(key, after, limit))
      if (!byNode.has(row.node)) byNode.set(row.node, { key, row });
  return [...byNode.values()].sort((a, b) => a.row.node - b.row.node).slice(0, limit);
}

/** The row’s reason is in the log: the decision, or a later renewal of it, rests on what was asked for. */
async function requireReason(
  collection: EntryCollection,
  origin: FoundEntry<Origin>,
  key: LineageKey,
  { leaf: because }: IndexRow,
): Promise<void> {
  const chain = await chainOf(collection, origin);
  const { leaf } = await collection.entry(because);
  const decisions = chain.map((one) => one.leaf);
  if (!reasonHolds(decisions, leaf, key))
    indexWrong(`it names an execution that doesn’t rest on this ${key.kind}`, because);
}

function page(collection: EntryCollection, found: readonly IndexRow[], next: number | null): LineagePage {
  return {
    found: found.map(({ node, leaf }) => ({ decision: node, because: leaf })),
    entries: collection.entries().map(({ position, data }) => ({ position, data })),
    next,
  };
}

/** True for a kind that executions are listed by. */
export function isListedBy(kind: string): kind is ListedBy {
  return LISTED_BY.some((known) => known === kind);
}
