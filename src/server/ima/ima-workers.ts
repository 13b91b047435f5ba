import { Worker } from 'node:worker_threads';
import { digestEntries } from '../../evidence/index.ts';
import type { DigestOrder, DigestedEntries, EntryDigester, KnownDigests } from '../../evidence/index.ts';
import type { ImaWorkerAnswer, ImaWorkerRequest } from './ima-worker.ts';

/** Batches that wait in one worker: one that it works on, one that it needn't wait for. */
const PER_WORKER = 2;

interface Waiting {
  readonly batch: Uint8Array;
  readonly order: DigestOrder;
  readonly resolve: (digested: DigestedEntries) => void;
  readonly reject: (error: unknown) => void;
}

/** One worker thread with the batches that were given to it. */
class ImaWorkerThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #known: KnownDigests | undefined;
  #next = 0;

  constructor() {
    // Built code is JavaScript; run from source, the thread needs the same loader as this one.
    const source = import.meta.url.endsWith('.ts');
    const file = new URL(source ? './ima-worker.ts' : './ima-worker.js', import.meta.url);
    this.#worker = new Worker(file, source ? { execArgv: ['--import', 'tsx'] } : {});
    this.#worker.on('message', (answer: ImaWorkerAnswer) => {
      this.#answered(answer);
    });
    this.#worker.on('error', () => {
      this.#failed();
    });
    this.#worker.on('exit', () => {
      this.#failed();
    });
    // An idle thread must not keep the process alive; a busy one must.
    this.#worker.unref();
  }

  /** Batches under way; Infinity when the thread has ended. */
  load = 0;

  digest(batch: Uint8Array, order: DigestOrder): Promise<DigestedEntries> {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { batch, order, resolve, reject });
      if (this.load++ === 0) this.#worker.ref();
      // A copy: the view may be of a list of many megabytes, which would be cloned as a whole.
      const copy = Uint8Array.prototype.slice.call(batch);
      const { banks, base, known } = order;
      const request: ImaWorkerRequest = {
        id,
        batch: copy,
        banks,
        base,
        ...(known !== this.#known && { known: known?.memory ?? null }),
      };
      this.#known = known;
      this.#worker.postMessage(request, [copy.buffer]);
    });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #answered({ id, digested }: ImaWorkerAnswer): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (--this.load === 0) this.#worker.unref();
    if (digested === null) here(waiting);
    else waiting.resolve(digested);
  }

  /** A thread that ended is not missed: what it had is digested here. */
  #failed(): void {
    this.load = Infinity;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    waiting.forEach(here);
  }
}

/** Digests here, which also says why a batch is refused. */
function here({ batch, order, resolve, reject }: Waiting): void {
  try {
    resolve(digestEntries(batch, order));
  } catch (error) {
    reject(error);
  }
}

/**
 * Worker threads that digest the entries of large IMA lists, for `verifyImaWith`. When all have enough to do, the
 * calling thread takes a batch itself, so that no core waits.
 */
export class ImaWorkers implements EntryDigester {
  readonly depth: number;
  readonly #threads: readonly ImaWorkerThread[];

  /** @param threads besides the calling one */
  constructor(threads: number) {
    this.#threads = Array.from({ length: threads }, () => new ImaWorkerThread());
    this.depth = PER_WORKER * threads + 1;
  }

  digest(batch: Uint8Array, order: DigestOrder): Promise<DigestedEntries> {
    let idle: ImaWorkerThread | undefined;
    for (const thread of this.#threads) {
      if (thread.load < (idle?.load ?? PER_WORKER)) idle = thread;
    }
    if (idle !== undefined) return idle.digest(batch, order);
    return new Promise((resolve, reject) => {
      here({ batch, order, resolve, reject });
    });
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}
