/** The worker thread of {@link policyParser}: examines one bundle, then it is thrown away. */
import { parentPort, workerData } from 'node:worker_threads';
import { Refusal } from '../../base/index.ts';
import type { PlainRefusal } from '../../base/index.ts';
// Not by the folder's index: this thread is made for one bundle, and what signs and builds is not needed in it.
import { loadCedar } from '../../policy/cedar/load.ts';
import { examineBundle } from '../../policy/examine.ts';
import type { ExaminedBundle } from '../../policy/index.ts';

/** What the thread answers; every other end of it is a failure. */
export type PolicyWorkerAnswer = { readonly examined: ExaminedBundle } | { readonly refusal: PlainRefusal };

function answer(): PolicyWorkerAnswer {
  try {
    return { examined: examineBundle(workerData as Uint8Array, loadCedar) };
  } catch (error) {
    if (error instanceof Refusal) return { refusal: error.plain() };
    throw error;
  }
}

parentPort?.postMessage(answer());
