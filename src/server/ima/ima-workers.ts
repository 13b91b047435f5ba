import { Worker } from 'node:worker_threads';
import type { DigestLane, DigestOrder, EntryDigester } from '../../evidence/index.ts';
import { ImaLane } from './ima-lane.ts';
import type { LaneThreads } from './ima-lane.ts';
import type { ImaWorkerAnswer, ImaWorkerRequest } from './ima-worker.ts';

/** One worker thread. */
class ImaWorkerThread {
  readonly #worker: Worker;
  /** Passes that use it. */
  #lanes = 0;
  #ended = false;

  /**
   * @param answered a batch of that lane is done
   * @param ended the thread is no more, and will do nothing of what it was given
   */
  constructor(answered: (lane: number) => void, ended: () => void) {
    this.#worker = startThread();
    this.#worker.on('message', (answer: ImaWorkerAnswer) => {
      answered(answer);
    });
    const gone = (): void => {
      this.#ended = true;
      ended();
    };
    this.#worker.on('error', gone);
    this.#worker.on('exit', gone);
    // An idle thread must not keep the process alive; a busy one must.
    this.#worker.unref();
  }

  get ended(): boolean {
    return this.#ended;
  }

  tell(request: ImaWorkerRequest): void {
    if ('begin' in request && this.#lanes++ === 0) this.#worker.ref();
    if ('end' in request && --this.#lanes === 0) this.#worker.unref();
    this.#worker.postMessage(request);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}

function startThread(): Worker {
  // The thread gets nothing of the environment: no option there may change how it runs.
  const options = { execArgv: [], env: {} };
  if (import.meta.url.endsWith('.js'))
    return new Worker(new URL('./ima-worker.js', import.meta.url), options);
  // From TypeScript (development, tests) the thread needs a loader before it can read its own file.
  const file = JSON.stringify(new URL('./ima-worker.ts', import.meta.url).href);
  const boot = `import('tsx/esm/api').then(({ register }) => { register(); return import(${file}); });`;
  return new Worker(boot, { ...options, eval: true });
}

/**
 * Worker threads that digest the entries of large IMA lists, for `verifyImaWith`. Batches lie in memory that all see;
 * a batch that no worker has begun when it is wanted is digested by the calling thread, so that no core waits.
 */
export class ImaWorkers implements EntryDigester {
  readonly #threads: readonly ImaWorkerThread[];
  readonly #lanes = new Map<number, ImaLane>();
  #next = 0;
  #digested = 0;

  /** @param threads besides the calling one */
  constructor(threads: number) {
    const answered = (lane: number): void => {
      this.#digested++;
      this.#lanes.get(lane)?.wake();
    };
    const ended = (): void => {
      for (const lane of this.#lanes.values()) lane.wake();
    };
    this.#threads = Array.from({ length: threads }, () => new ImaWorkerThread(answered, ended));
  }

  /** Batches that the threads have digested; the calling one did the others. */
  get digested(): number {
    return this.#digested;
  }

  begin(order: Omit<DigestOrder, 'base' | 'memory' | 'maxEntries'>): DigestLane {
    const id = this.#next++;
    const threads: LaneThreads = {
      count: this.#threads.length,
      isEnded: (thread) => this.#threads[thread]?.ended !== false,
      tell: (thread, request) => this.#threads[thread]?.tell(request),
      end: () => this.#lanes.delete(id),
    };
    const lane = new ImaLane(id, { banks: order.banks, known: order.known }, threads);
    this.#lanes.set(id, lane);
    return lane;
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}
