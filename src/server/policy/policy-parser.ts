import { Worker } from 'node:worker_threads';
import type { WorkerOptions } from 'node:worker_threads';
import { Refusal } from '../../base/index.ts';
import type { ExaminedBundle, PolicyParser } from '../../policy/index.ts';
import type { PolicyWorkerAnswer } from './policy-worker.ts';

/** Bounds of one examination. */
export interface PolicyWorkerLimits {
  readonly milliseconds: number;
  /** MiB of JavaScript heap; Cedar's own memory is bounded by the engine (4 GiB at most) and freed with the thread. */
  readonly heapMegabytes: number;
}

const LIMITS: PolicyWorkerLimits = { milliseconds: 30_000, heapMegabytes: 1024 };

/**
 * Examines each bundle in a thread of its own that is ended afterwards, whatever became of it: a policy that traps the
 * engine, fills its memory or doesn't end harms nothing that decides.
 */
export function policyParser(limits: PolicyWorkerLimits = LIMITS): PolicyParser {
  return {
    examine: async (bytes) => {
      const worker = startThread(bytes, limits);
      try {
        return await answerOf(worker, limits.milliseconds);
      } finally {
        await worker.terminate();
      }
    },
  };
}

function startThread(bytes: Uint8Array, { heapMegabytes }: PolicyWorkerLimits): Worker {
  const options: WorkerOptions = {
    workerData: bytes,
    execArgv: [],
    env: {},
    resourceLimits: { maxOldGenerationSizeMb: heapMegabytes },
  };
  if (import.meta.url.endsWith('.js'))
    return new Worker(new URL('./policy-worker.js', import.meta.url), options);
  // From TypeScript (development, tests) the thread needs a loader before it can read its own file.
  const file = JSON.stringify(new URL('./policy-worker.ts', import.meta.url).href);
  const boot = `import('tsx/esm/api').then(({ register }) => { register(); return import(${file}); });`;
  return new Worker(boot, { ...options, eval: true });
}

function answerOf(worker: Worker, milliseconds: number): Promise<ExaminedBundle> {
  return new Promise((resolve, reject) => {
    const failed = (reason: string): void => {
      reject(new Refusal('policy-examination', `the bundle could not be examined: ${reason}`));
    };
    const timer = setTimeout(() => {
      failed(`it took over ${String(milliseconds)} ms`);
    }, milliseconds);
    worker.once('message', (answer: PolicyWorkerAnswer) => {
      clearTimeout(timer);
      if ('examined' in answer) resolve(answer.examined);
      else reject(Refusal.revive(answer.refusal));
    });
    worker.once('error', (error: Error) => {
      clearTimeout(timer);
      failed(error.message);
    });
    worker.once('exit', () => {
      clearTimeout(timer);
      failed('its thread ended');
    });
  });
}
