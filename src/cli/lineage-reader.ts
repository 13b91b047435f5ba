import { proveInclusion } from '../audit/index.ts';
import type { UnverifiedCheckpoint } from '../audit/index.ts';
import { canonicalJson, refuse, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { fetchEntry, fetchLineage, followCheckpoint, readEntries, tileReader } from '../client/index.ts';
import type { ReceivedPage, VerifierClient } from '../client/index.ts';
import {
  LISTED_BY,
  MAX_PAGE,
  MemoryLineage,
  answerQuestion,
  executionOf,
  isOrigin,
  isRenewal,
  readResult,
  resultDigest,
  verifyPage,
  viewExecutions,
} from '../lineage/index.ts';
import type {
  Appraised,
  ExecutionView,
  LineageKey,
  LineageQuestion,
  ProvedEntry,
  VerifiedPage,
} from '../lineage/index.ts';
import type { FoundProfile } from './profile-file.ts';
import { logKeysOf, rememberedCheckpoint } from './remembered-checkpoint.ts';

/** What is asked, before it is known in which tree. */
export type LineageOrder =
  | { readonly ask: 'ancestors'; readonly executionId: string }
  | { readonly ask: 'descendants'; readonly executionId: string }
  | { readonly ask: 'list'; readonly kinds: readonly string[]; readonly id: string };

export interface LineageOptions {
  /** Executions at the most; more pages are asked for by `after`. */
  readonly limit: number;
  readonly after: number | null;
  readonly logKey?: string;
  /** Reads every entry and makes the index here: then nothing can have been left out. */
  readonly wholeLog: boolean;
  readonly onProgress?: (entries: bigint) => void;
}

/** An answer that was verified. */
export interface LineageReading {
  readonly checkpoint: UnverifiedCheckpoint;
  readonly entries: ReadonlyMap<string, ProvedEntry>;
  /** The executions that were asked for, in the order of the log, each with the entry because of which it is here. */
  readonly found: readonly { readonly view: ExecutionView; readonly because: string }[];
  /** Those, and their ancestors. */
  readonly known: ReadonlyMap<string, ExecutionView>;
  readonly next: number | null;
  readonly unchecked: readonly string[];
}

type PageSource = (question: LineageQuestion) => Promise<ReceivedPage>;

/**
 * Asks for lineage and verifies every entry of the answer: in the log that the profile's key signs, which continues the
 * checkpoint remembered.
 * @throws Refusal `log-…`, `lineage-…`; VerifierRefusal
 */
export async function readLineage(
  client: VerifierClient,
  profile: FoundProfile,
  order: LineageOrder,
  options: LineageOptions,
): Promise<LineageReading> {
  const logKeys = logKeysOf(profile, options.logKey);
  const remembered = rememberedCheckpoint(profile, logKeys);
  const checkpoint = await followCheckpoint(client, logKeys, remembered);
  const source: PageSource = options.wholeLog
    ? await wholeLog(client, checkpoint, order, options)
    : (question) => fetchLineage(client, question);
  const pages = await readPages(source, checkpoint, order, options);
  if (order.ask !== 'list' && options.after === null && pages.found.size === 0)
    refuse('lineage-unknown', 'no decision of the log made this execution', {
      executionId: order.executionId,
    });
  return {
    ...summary(pages),
    checkpoint,
    unchecked: [
      ...(remembered === undefined ? ['consistency'] : []),
      // A page can't show what its verifier left out.
      ...(options.wholeLog || order.ask === 'ancestors' ? [] : ['completeness']),
    ],
  };
}

interface Pages {
  readonly entries: Map<string, ProvedEntry>;
  readonly found: Map<string, string>;
  readonly results: Map<string, Appraised>;
  next: number | null;
}

async function readPages(
  source: PageSource,
  { claimed }: UnverifiedCheckpoint,
  order: LineageOrder,
  { limit, after }: LineageOptions,
): Promise<Pages> {
  const all: Pages = { entries: new Map(), found: new Map(), results: new Map(), next: after };
  const size = Number(claimed.size);
  do {
    const paging = { after: all.next, limit: Math.min(limit - all.found.size, MAX_PAGE) };
    const question: LineageQuestion =
      order.ask === 'ancestors' ? { ...order, size } : { ...order, size, ...paging };
    const page = await source(question);
    const verified = verifyPage(question, page, claimed);
    for (const [index, entry] of verified.entries) all.entries.set(index, entry);
    for (const { origin, because } of verified.found) all.found.set(executionOf(origin), because.index);
    noteResults(all.results, page, verified);
    all.next = page.next;
  } while (all.next !== null && all.found.size < limit);
  return all;
}

/** What environments were found to be, where the result is kept and is the one that the log names. */
function noteResults(results: Map<string, Appraised>, page: ReceivedPage, { entries }: VerifiedPage): void {
  for (const [index, jwt] of Object.entries(page.results)) {
    const leaf = entries.get(index)?.leaf;
    const isNamed = leaf !== undefined && (isOrigin(leaf) || isRenewal(leaf));
    if (!isNamed || resultDigest(leaf) === undefined)
      return refuse('lineage-foreign', 'the answer has an attestation result of nothing', { entry: index });
    results.set(index, readResult(leaf, jwt));
  }
}

function summary({ entries, found, results, next }: Pages): Omit<LineageReading, 'checkpoint' | 'unchecked'> {
  const views = viewExecutions(
    [...entries.values()].map(({ leaf }) => leaf),
    results,
  );
  const known = new Map(views.map((view) => [view.executionId, view]));
  const asked = views.flatMap((view) => {
    const because = found.get(view.executionId);
    return because === undefined ? [] : [{ view, because }];
  });
  return { entries, known, found: asked, next };
}

/**
 * Every entry, read and compared with the checkpoint; the index made of them answers. Entries of the answer are read
 * again, and proved like any verifier's.
 */
async function wholeLog(
  client: VerifierClient,
  { claimed }: UnverifiedCheckpoint,
  order: LineageOrder,
  { onProgress }: LineageOptions,
): Promise<PageSource> {
  const entries = { entry: async (position: number) => utf8(await fetchEntry(client, BigInt(position))) };
  const lineage = new MemoryLineage({ entries, listedBy: keysOf(order) });
  // Filing asks for nothing that isn't in memory: each is done before the next begins.
  let filed = Promise.resolve();
  await readEntries(client, claimed, {
    onEntry: (leaf) => {
      // An entry that was read is canonical, so these are its bytes.
      const data = utf8(canonicalJson(leaf as unknown as JsonObject));
      filed = filed.then(() => lineage.add(data));
    },
    ...(onProgress === undefined ? {} : { onProgress }),
  });
  await filed;
  const tiles = tileReader(client);
  return async (question) => {
    const { found, entries: named, next } = await answerQuestion(lineage, question);
    const proved: ReceivedPage['entries'][number][] = [];
    for (const { position, data } of named) {
      const index = BigInt(position);
      proved.push({ index, data, proof: await proveInclusion(index, claimed.size, tiles) });
    }
    const places = found.map(({ decision, because }) => ({
      decision: BigInt(decision),
      because: BigInt(because),
    }));
    return { found: places, entries: proved, results: {}, next };
  };
}

/** Under what the executions of an answer are filed. */
function keysOf(order: LineageOrder): readonly LineageKey[] {
  if (order.ask !== 'list') return [{ kind: 'ancestor', id: order.executionId }];
  return LISTED_BY.filter((kind) => order.kinds.length === 0 || order.kinds.includes(kind)).map((kind) => ({
    ...{ kind, id: order.id },
  }));
}
