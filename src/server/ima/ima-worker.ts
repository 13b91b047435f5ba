/** The worker thread of {@link ImaWorkers}: digests batches of IMA entries in memory that it shares with its owner. */
import { parentPort } from 'node:worker_threads';
import { KnownDigests, SCRATCH } from '../../evidence/index.ts';
import type { KnownMemory } from '../../evidence/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { BATCH_BYTES, SharedBatch } from './shared-batch.ts';
import type { BatchMemory } from './shared-batch.ts';

/** What the worker is told: a lane begins, one of its batches is filled, it ends. */
export type ImaWorkerRequest =
  | {
      readonly begin: number;
      readonly banks: readonly HashName[];
      readonly known: KnownMemory | null;
      readonly batches: readonly BatchMemory[];
    }
  | { readonly lane: number; readonly batch: number }
  | { readonly end: number };

/** What it answers for each batch that it did: the lane. How it went is in the shared memory. */
export type ImaWorkerAnswer = number;

const lanes = new Map<number, readonly SharedBatch[]>();
const work = new Uint8Array(SCRATCH + BATCH_BYTES);

parentPort?.on('message', (request: ImaWorkerRequest) => {
  if ('begin' in request) {
    const { begin, banks, batches } = request;
    const known = request.known === null ? undefined : new KnownDigests(request.known);
    lanes.set(
      begin,
      batches.map((memory) => new SharedBatch({ banks, known }, memory, work)),
    );
  } else if ('end' in request) {
    lanes.delete(request.end);
  } else {
    const batch = lanes.get(request.lane)?.[request.batch];
    if (batch?.claim() !== true) return;
    batch.digest();
    const answer: ImaWorkerAnswer = request.lane;
    parentPort?.postMessage(answer);
  }
});
