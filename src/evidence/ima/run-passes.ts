import { Reader } from '../../base/index.ts';
import { frameEntries } from './entries.ts';
import type { DigestOrder, DigestedEntries } from './entries.ts';
import type { Joined } from './chunk-joiner.ts';
import { ImaReplay } from './replay.ts';
import type { ReplayResult } from './replay.ts';
import { verification } from './verify.ts';
import type { ImaQuestion, Pass, VerifiedIma } from './verify.ts';

/**
 * A binary list in chunks of any size. It may be iterated twice (older kernels need another try), and is never held
 * in memory as a whole: an array, or an object whose iterator reads a file from its start.
 */
export type ImaList = Iterable<Uint8Array>;

/**
 * Verifies a list against a quote and judges its entries.
 * @throws Refusal, see {@link verification}; `malformed` and `ima-template-digest` for what the list itself has wrong
 */
export function verifyIma(list: ImaList, question: ImaQuestion): VerifiedIma {
  const passes = verification(question);
  let step = passes.next();
  while (step.done !== true) step = passes.next(runPass(list, step.value));
  return step.value;
}

/**
 * Digests batches somewhere else, e.g. in a worker: `digestEntries` with the same arguments. Batches may finish
 * in any order.
 */
export interface EntryDigester {
  digest(batch: Uint8Array, order: DigestOrder): Promise<DigestedEntries>;
  /** Batches that may wait at a time; memory grows with it, not with the list. */
  readonly depth: number;
}

/** As {@link verifyIma}, with the hashing of entries done by `digester` and only the chain of extends done here. */
export async function verifyImaWith(
  list: ImaList,
  question: ImaQuestion,
  digester: EntryDigester,
): Promise<VerifiedIma> {
  const passes = verification(question);
  let step = passes.next();
  while (step.done !== true) step = passes.next(await runPassWith(list, step.value, digester));
  return step.value;
}

function runPass(list: ImaList, { order }: Pass): ReplayResult {
  const replay = new ImaReplay(order);
  for (const chunk of list) replay.push(chunk);
  return replay.finish();
}

/** Runs one pass with batches under way; the order in which they are consumed is the list's. */
async function runPassWith(list: ImaList, { order }: Pass, digester: EntryDigester): Promise<ReplayResult> {
  const replay = new ImaReplay(order);
  const waiting: Waiting[] = [];
  const take = async (): Promise<void> => {
    const next = waiting.shift();
    if (next !== undefined) replay.consume(next.batch, next.base, await next.digested);
  };
  for (const chunk of list) {
    const joined = replay.join(chunk);
    if (joined === undefined) continue;
    for (const part of wholeEntries(replay, joined)) {
      const digested = digester.digest(part.batch, replay.digestOrder(part.base));
      // It is awaited in its turn; failing before that must not count as unhandled.
      digested.catch(() => undefined);
      waiting.push({ ...part, digested });
      if (waiting.length >= digester.depth) await take();
    }
  }
  while (waiting.length > 0) await take();
  return replay.finish();
}

interface Part {
  readonly batch: Uint8Array;
  readonly base: number;
}

interface Waiting extends Part {
  readonly digested: Promise<DigestedEntries>;
}

/** Entries a batch: large enough that handing it over costs nothing. */
const BATCH_ENTRIES = 4096;

function* wholeEntries(replay: ImaReplay, joined: Joined): Generator<Part> {
  const { bytes, base } = joined;
  const reader = new Reader(bytes, 'IMA list', base);
  let at = 0;
  for (;;) {
    const rest = new Reader(bytes, 'IMA list', base);
    rest.skip(at);
    const { consumed, count } = frameEntries(rest.rest(), base + at, BATCH_ENTRIES);
    if (count === 0) break;
    yield { batch: reader.bytes(consumed), base: base + at };
    at += consumed;
  }
  replay.keep(joined, at);
}
