import { Reader } from '../../base/index.ts';
import type { Joined } from './chunk-joiner.ts';
import type { DigestLane, EntryDigester } from './digest-lane.ts';
import { frameEntries } from './entries.ts';
import { ImaReplay } from './replay.ts';
import type { ReplayResult } from './replay.ts';
import { verification } from './verify.ts';
import type { ImaQuestion, Pass, VerifiedIma } from './verify.ts';

/**
 * A binary list in chunks of any size. It may be iterated twice (older kernels need another try), and is never held
 * in memory as a whole: an array, or an object whose iterator reads a file from its start. The memory of a chunk may
 * be that of the one before.
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
  const lane = digester.begin(replay.digestOrder(0));
  try {
    const take = async (): Promise<void> => {
      const { bytes, base, digested } = await lane.take();
      replay.consume(bytes, base, digested);
    };
    for (const chunk of list) {
      const joined = replay.join(chunk);
      if (joined === undefined) continue;
      for (const part of wholeEntries(replay, joined, lane)) {
        if (lane.waiting === lane.depth) await take();
        lane.put(part);
      }
    }
    while (lane.waiting > 0) await take();
  } finally {
    lane.end();
  }
  return replay.finish();
}

interface Part {
  readonly bytes: Uint8Array;
  readonly base: number;
  readonly count: number;
}

function* wholeEntries(replay: ImaReplay, joined: Joined, lane: DigestLane): Generator<Part> {
  const { bytes, base } = joined;
  let at = 0;
  for (let window = lane.batchBytes; at < bytes.length;) {
    const rest = new Reader(bytes, 'IMA list', base);
    rest.skip(at);
    const view = rest.bytes(Math.min(window, rest.remaining));
    const { consumed, count } = frameEntries(view, base + at, lane.batchEntries);
    if (count > 0) {
      yield { bytes: new Reader(view, 'IMA list', base + at).bytes(consumed), base: base + at, count };
      at += consumed;
      window = lane.batchBytes;
    } else if (rest.remaining === 0) break;
    // One entry that is longer than a batch.
    else window *= 2;
  }
  replay.keep(joined, at);
}
