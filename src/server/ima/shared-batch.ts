import { DigestMemory, MAX_TEMPLATES, STRIDE, digestEntries } from '../../evidence/index.ts';
import type { DigestedEntries, KnownDigests } from '../../evidence/index.ts';
import { digestSize } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';

/** Some of these stay in a core's cache, and handing one over costs nothing beside digesting it. */
export const BATCH_ENTRIES = 1024;
/** Entries have some 150 bytes; of longer ones a batch has fewer. */
export const BATCH_BYTES = 256 * 1024;

/** Where a batch stands; whoever moves it on from `queued` digests it. */
export const STATE = { free: 0, queued: 1, taken: 2, done: 3, failed: 4 } as const;

/** Words of the head; after them the end of each template's name in the text. */
const HEAD = { state: 0, length: 1, count: 2, consumed: 3, templates: 4, names: 5 } as const;
/** Names are at most 255 bytes each. */
const TEXT_BYTES = MAX_TEMPLATES * 256;

/** The memory of a {@link SharedBatch}: what one thread gives the other, once for each. */
export interface BatchMemory {
  readonly head: SharedArrayBuffer;
  readonly bytes: SharedArrayBuffer;
  readonly text: SharedArrayBuffer;
  readonly table: SharedArrayBuffer;
  readonly digests: Readonly<Partial<Record<HashName, SharedArrayBuffer>>>;
}

/** Memory for one batch and what is made of it, {@link BATCH_BYTES} and some hundred KiB. */
export function batchMemory(banks: readonly HashName[]): BatchMemory {
  return {
    head: new SharedArrayBuffer(4 * (HEAD.names + MAX_TEMPLATES)),
    bytes: new SharedArrayBuffer(BATCH_BYTES),
    text: new SharedArrayBuffer(TEXT_BYTES),
    table: new SharedArrayBuffer(BATCH_ENTRIES * STRIDE * 4),
    digests: Object.fromEntries(
      banks.map((bank) => [bank, new SharedArrayBuffer(BATCH_ENTRIES * digestSize(bank))]),
    ),
  };
}

/** How the batches of one pass are digested. */
export interface BatchOrder {
  readonly banks: readonly HashName[];
  readonly known: KnownDigests | undefined;
}

/** A batch in memory that two threads see: one fills it, either digests it. */
export class SharedBatch {
  readonly #order: BatchOrder;
  readonly #memory: BatchMemory;
  readonly #head: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #given: DigestMemory;

  /** @param work memory of this thread for the copy that is hashed; all its batches can have the same */
  constructor(order: BatchOrder, memory: BatchMemory, work: Uint8Array) {
    this.#order = order;
    this.#memory = memory;
    this.#head = new Int32Array(memory.head);
    this.#bytes = new Uint8Array(memory.bytes);
    this.#given = new DigestMemory([
      ['work', work],
      ['table', new Uint8Array(memory.table)],
      ...Object.entries(memory.digests).map(([bank, shared]) => [bank, new Uint8Array(shared)] as const),
    ]);
  }

  /** {@link STATE} */
  get state(): number {
    return Atomics.load(this.#head, HEAD.state);
  }

  /** The bytes of the batch. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.#memory.bytes, 0, this.#head[HEAD.length]);
  }

  /** Copies a batch in, for whoever claims it. */
  fill(batch: Uint8Array): void {
    this.#bytes.set(batch);
    this.#head[HEAD.length] = batch.length;
    Atomics.store(this.#head, HEAD.state, STATE.queued);
  }

  /** True for the one thread that now has to digest the batch. */
  claim(): boolean {
    return Atomics.compareExchange(this.#head, HEAD.state, STATE.queued, STATE.taken) === STATE.queued;
  }

  /** Digests a batch that was claimed; what is wrong with one that is refused is not told here. */
  digest(): void {
    let state: number = STATE.failed;
    try {
      const { banks, known } = this.#order;
      const memory = this.#given;
      const digested = digestEntries(this.bytes, {
        banks,
        known,
        base: 0,
        memory,
        maxEntries: BATCH_ENTRIES,
      });
      this.#head[HEAD.count] = digested.count;
      this.#head[HEAD.consumed] = digested.consumed;
      this.#writeTemplates(digested.templates);
      state = STATE.done;
    } catch {
      // The thread that wants the batch digests it itself, and is told why it can't be.
    }
    Atomics.store(this.#head, HEAD.state, state);
  }

  /** What {@link digest} made, in the shared memory. Only the form of it is certain. */
  get digested(): DigestedEntries {
    const head = this.#head;
    const { table, digests } = this.#memory;
    const count = Math.min(head[HEAD.count] ?? 0, BATCH_ENTRIES);
    return {
      count,
      consumed: head[HEAD.consumed] ?? 0,
      table: new Uint32Array(table),
      templates: this.#readTemplates(),
      digests: Object.fromEntries(
        Object.entries(digests).map(([bank, shared]) => [bank, new Uint32Array(shared)]),
      ),
    };
  }

  #writeTemplates(names: readonly string[]): void {
    const text = Buffer.from(this.#memory.text);
    let end = 0;
    names.forEach((name, i) => {
      end += text.write(name, end, 'latin1');
      this.#head[HEAD.names + i] = end;
    });
    this.#head[HEAD.templates] = names.length;
  }

  #readTemplates(): readonly string[] {
    const text = Buffer.from(this.#memory.text);
    const count = Math.min(this.#head[HEAD.templates] ?? 0, MAX_TEMPLATES);
    let start = 0;
    return Array.from({ length: count }, (_, i) => {
      const end = this.#head[HEAD.names + i] ?? 0;
      const name = text.toString('latin1', start, end);
      start = end;
      return name;
    });
  }
}
