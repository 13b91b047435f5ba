import { setImmediate as turn } from 'node:timers/promises';
import { SCRATCH, digestEntries, isPlausible } from '../../evidence/index.ts';
import type { DigestLane, DigestedBatch, DigestedEntries, EntryBatch } from '../../evidence/index.ts';
import type { ImaWorkerRequest } from './ima-worker.ts';
import { BATCH_BYTES, BATCH_ENTRIES, STATE, SharedBatch, batchMemory } from './shared-batch.ts';
import type { BatchOrder } from './shared-batch.ts';

/** Batches for each worker: what it works on, and enough that it needn't wait while the caller does other things. */
const PER_WORKER = 4;

/** The threads that a lane gives its batches to, by number. */
export interface LaneThreads {
  readonly count: number;
  readonly isEnded: (thread: number) => boolean;
  readonly tell: (thread: number, request: ImaWorkerRequest) => void;
  /** The lane is at its end. */
  readonly end: () => void;
}

/** A batch of the caller's in its place in the ring, or, as it doesn't fit there, copied. */
interface Waiting extends EntryBatch {
  readonly shared: SharedBatch | undefined;
  readonly thread: number;
}

/** One pass over a list: a ring of batches in shared memory, filled and taken in the list's order. */
export class ImaLane implements DigestLane {
  readonly depth: number;
  readonly batchBytes = BATCH_BYTES;
  readonly batchEntries = BATCH_ENTRIES;
  readonly #id: number;
  readonly #order: BatchOrder;
  readonly #threads: LaneThreads;
  readonly #ring: readonly SharedBatch[];
  readonly #waiting: Waiting[] = [];
  #puts = 0;
  #wake: (() => void) | undefined;

  constructor(id: number, given: BatchOrder, threads: LaneThreads) {
    const banks = given.banks.filter((bank) => bank !== 'sha1');
    const order = { banks, known: given.known };
    this.#id = id;
    this.#order = order;
    this.#threads = threads;
    this.depth = PER_WORKER * threads.count + 1;
    const batches = Array.from({ length: this.depth }, () => batchMemory(banks));
    const work = new Uint8Array(SCRATCH + BATCH_BYTES);
    this.#ring = batches.map((memory) => new SharedBatch(order, memory, work));
    const known = order.known?.memory ?? null;
    for (let i = 0; i < threads.count; i++) threads.tell(i, { begin: id, banks, known, batches });
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  put({ bytes, base, count }: EntryBatch): void {
    const place = this.#puts++ % this.depth;
    const thread = this.#puts % Math.max(1, this.#threads.count);
    const shared = bytes.length > BATCH_BYTES ? undefined : this.#ring[place];
    shared?.fill(bytes);
    this.#waiting.push({ bytes: shared?.bytes ?? bytes.slice(), base, count, shared, thread });
    if (shared !== undefined) this.#threads.tell(thread, { lane: this.#id, batch: place });
  }

  async take(): Promise<DigestedBatch> {
    // A turn for everybody else: batches that are done would keep this thread for the whole list.
    await turn();
    const next = this.#waiting[0];
    if (next === undefined) throw new TypeError('no batch waits');
    const digested = (await this.#fromRing(next)) ?? this.#here(next);
    this.#waiting.shift();
    return { bytes: next.bytes, base: next.base, digested };
  }

  /** Called when a batch was digested or a thread has ended. */
  wake(): void {
    this.#wake?.();
  }

  end(): void {
    for (let i = 0; i < this.#threads.count; i++) this.#threads.tell(i, { end: this.#id });
    this.#threads.end();
  }

  /** What the ring has of a batch; undefined when it isn't in there, was refused, or can't be believed. */
  async #fromRing(next: Waiting): Promise<DigestedEntries | undefined> {
    const { shared, thread } = next;
    if (shared === undefined) return undefined;
    while (!this.#digestIfQueued(shared) && shared.state === STATE.taken) {
      // A thread that ended is not missed.
      if (this.#threads.isEnded(thread)) return undefined;
      // While a worker is at it, the batch that it would come to last.
      if (!this.#waiting.toReversed().some((other) => this.#digestIfQueued(other.shared)))
        await this.#woken();
    }
    if (shared.state !== STATE.done) return undefined;
    const { digested } = shared;
    return isPlausible(next, digested, this.#order.known) ? digested : undefined;
  }

  #digestIfQueued(shared: SharedBatch | undefined): boolean {
    if (shared?.claim() !== true) return false;
    shared.digest();
    return true;
  }

  /** Digests in memory of its own, which also says why a batch is refused. */
  #here({ bytes, base }: Waiting): DigestedEntries {
    return digestEntries(bytes, { ...this.#order, base });
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }
}
