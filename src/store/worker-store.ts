import { Worker } from 'node:worker_threads';
import { Refusal } from '../base/index.ts';
import { withRecords } from './operations.ts';
import type { StoreOperations } from './operations.ts';
import { Outbox } from './outbox.ts';
import type { WorkerAnswer, WorkerCall, WorkerStart } from './worker.ts';

/**
 * Opens the embedded store in a thread of its own.
 * @throws Refusal as the store does; Error when the thread can't start or ends
 */
export async function openWorkerStore(start: WorkerStart): Promise<StoreOperations> {
  const calls = new WorkerCalls(startThread(start));
  await calls.opened.catch(async (error: unknown) => {
    // A connection lives as long as its statements do. Whoever is told may open the store at once.
    await calls.end();
    throw error;
  });
  return withRecords({
    commit: (changes) => calls.call('commit', changes),
    get: (ref) => calls.call('get', ref),
    list: (kind, options) => calls.call('list', kind, options),
    head: () => calls.call('head'),
    leaves: (from, count) => calls.call('leaves', from, count),
    tiles: {
      readTiles: (tiles) => calls.call('readTiles', tiles),
      readNodes: (nodes) => calls.call('readNodes', nodes),
    },
    entryBundle: (index, width) => calls.call('entryBundle', index, width),
    body: (sha256) => calls.call('body', sha256),
    lineage: (question) => calls.call('lineage', question),
    forget: (now) => calls.call('forget', now),
    witnessed: (origin) => calls.call('witnessed', origin),
    witness: (step) => calls.call('witness', step),
    cosigned: () => calls.call('cosigned'),
    keepCosigned: (size, checkpoint) => calls.call('keepCosigned', size, checkpoint),
    epoch: () => calls.call('epoch'),
    close: async () => {
      await calls.call<undefined>('close');
      await calls.end();
    },
  });
}

function startThread(start: WorkerStart): Worker {
  // The thread gets nothing of the environment: no option there may change how it runs.
  const options = { workerData: start, execArgv: [], env: {} };
  if (import.meta.url.endsWith('.js')) return new Worker(new URL('./worker.js', import.meta.url), options);
  // From TypeScript (development, tests) the thread needs a loader before it can read its own file.
  const file = JSON.stringify(new URL('./worker.ts', import.meta.url).href);
  const boot = `import('tsx/esm/api').then(({ register }) => { register(); return import(${file}); });`;
  return new Worker(boot, { ...options, eval: true });
}

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls under way, by number. When the thread ends, all of them fail: nothing hangs. */
class WorkerCalls {
  readonly opened: Promise<unknown>;
  readonly #worker: Worker;
  readonly #outbox: Outbox<WorkerCall>;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #ended: Error | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.#outbox = new Outbox(worker);
    this.opened = new Promise((resolve, reject) => this.#pending.set(0, { resolve, reject }));
    worker.on('message', (answers: readonly WorkerAnswer[]) => {
      for (const answer of answers) this.#settle(answer);
    });
    worker.on('error', (error: Error) => {
      this.#fail(error);
    });
    worker.on('exit', () => {
      this.#fail(new Error('the store’s thread has ended'));
    });
  }

  call<T>(method: WorkerCall['method'], ...args: readonly unknown[]): Promise<T> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#outbox.send({ id, method, args });
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(answer: WorkerAnswer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (pending === undefined) return;
    if ('value' in answer) pending.resolve(answer.value as never);
    else pending.reject('refusal' in answer ? Refusal.revive(answer.refusal) : new Error(answer.error));
  }

  #fail(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#ended);
    this.#pending.clear();
  }
}
