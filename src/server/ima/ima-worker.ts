/** The worker thread of {@link ImaWorkers}: digests batches of IMA entries. */
import { parentPort } from 'node:worker_threads';
import { KnownDigests, digestEntries } from '../../evidence/index.ts';
import type { DigestedEntries, KnownMemory } from '../../evidence/index.ts';
import type { HashName } from '../../tpm/index.ts';

/** What the worker is asked; `known` only with the first batch of a list, later ones use the same. */
export interface ImaWorkerRequest {
  readonly id: number;
  readonly batch: Uint8Array;
  readonly banks: readonly HashName[];
  readonly base: number;
  readonly known?: KnownMemory | null;
}

/** What it answers; null when the batch was refused or failed, and the caller finds out why. */
export interface ImaWorkerAnswer {
  readonly id: number;
  readonly digested: DigestedEntries | null;
}

let known: KnownDigests | undefined;

parentPort?.on('message', (request: ImaWorkerRequest) => {
  if (request.known !== undefined) {
    known = request.known === null ? undefined : new KnownDigests(request.known);
  }
  const digested = digest(request);
  const answer: ImaWorkerAnswer = { id: request.id, digested };
  const buffers = digested === null ? [] : [digested.table, ...Object.values(digested.digests)];
  // Ours: nobody else sees them, so they are moved and not copied.
  parentPort?.postMessage(
    answer,
    buffers.map(({ buffer }) => buffer as ArrayBuffer),
  );
});

function digest({ batch, banks, base }: ImaWorkerRequest): DigestedEntries | null {
  try {
    return digestEntries(batch, { banks, base, known });
  } catch {
    return null;
  }
}
