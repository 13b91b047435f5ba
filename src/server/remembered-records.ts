import type { Change, RecordRef, StoredRecord } from '../audit/index.ts';
import type { JsonValue } from '../base/index.ts';
import type { StoreOperations } from '../store/index.ts';

/** UTF-16 units that what is remembered may come to; a host's records are about 3 000. */
const MOST_TEXT = 32 * 1024 * 1024;
/** A record that is larger is read each time: one alone must not drive out all others. */
const MOST_OF_ONE = MOST_TEXT / 64;
/** What remembering costs besides the text: whoever asks for ids that don't exist fills the memory with nothing else. */
const ENTRY = 128;

/** What a record is, also when there is none. */
interface Remembered {
  readonly record: StoredRecord | undefined;
  readonly size: number;
}

/** A read under way; a commit that touches the record meanwhile makes it old. */
interface Reading {
  old: boolean;
}

/**
 * The store with what it answered last, so that records which don't change are not asked for again. This process is the
 * only one that writes, and all that it writes goes through `commit` here: a record is forgotten when a change that
 * writes it is handed over and again when its outcome is known, and is not remembered in between. What the store checks
 * when it reads a row (its MAC, that it is the newest) was checked for what is remembered; a decision's preconditions are
 * compared with the rows themselves when it is committed, whatever it was prepared from.
 */
export function rememberRecords(store: StoreOperations, mostText = MOST_TEXT): StoreOperations {
  const memory = new RecordMemory(mostText);
  let newest: Awaited<ReturnType<StoreOperations['head']>>;
  return {
    ...store,
    get: async (ref) => await memory.get(ref, () => store.get(ref)),
    // What was committed is the head before anybody hears of it.
    head: async () => newest ?? (await store.head()),
    commit: async (changes) => {
      const touched = touchedBy(changes);
      memory.begin(touched);
      try {
        const committed = await store.commit(changes);
        const checkpoint = committed.findLast((one) => one.checkpoint !== undefined)?.checkpoint;
        if (checkpoint !== undefined) newest = newer(newest, checkpoint);
        return committed;
      } catch (error) {
        // It may be durable all the same: what the head is only the store knows.
        newest = undefined;
        throw error;
      } finally {
        memory.end(touched);
      }
    },
  };
}

interface Head {
  readonly size: string;
  readonly checkpoint: string;
}

function newer(known: Head | undefined, checkpoint: string): Head {
  const [, size = '0'] = checkpoint.split('\n');
  return known !== undefined && BigInt(known.size) > BigInt(size) ? known : { size, checkpoint };
}

/** Every record that a commit of these may write. */
function touchedBy(changes: readonly Change[]): ReadonlySet<string> {
  return new Set(
    changes.flatMap(({ writes, budgets = [], counters }) => [
      ...writes.map(keyOf),
      ...budgets.map(keyOf),
      ...(counters === undefined ? [] : [keyOf({ kind: 'counters', id: counters.ek })]),
    ]),
  );
}

/** A kind has no space in it. */
const keyOf = ({ kind, id }: RecordRef): string => `${kind} ${id}`;

class RecordMemory {
  readonly #mostText: number;
  readonly #known = new Map<string, Remembered>();
  readonly #reading = new Map<string, Set<Reading>>();
  /** Commits under way that write a record. */
  readonly #writing = new Map<string, number>();
  #text = 0;

  constructor(mostText: number) {
    this.#mostText = mostText;
  }

  async get(
    ref: RecordRef,
    read: () => Promise<StoredRecord | undefined>,
  ): Promise<StoredRecord | undefined> {
    const key = keyOf(ref);
    const known = this.#known.get(key);
    if (known !== undefined) {
      // A Map keeps the order of insertion: what is used is the last to go.
      this.#known.delete(key);
      this.#known.set(key, known);
      return known.record;
    }
    const reading: Reading = { old: this.#writing.has(key) };
    const others = this.#reading.get(key) ?? new Set();
    this.#reading.set(key, others.add(reading));
    try {
      const record = await read();
      if (!reading.old) this.#remember(key, record);
      return record;
    } finally {
      others.delete(reading);
      if (others.size === 0) this.#reading.delete(key);
    }
  }

  /** A commit begins. */
  begin(touched: ReadonlySet<string>): void {
    for (const key of touched) {
      this.#writing.set(key, (this.#writing.get(key) ?? 0) + 1);
      this.#forget(key);
    }
  }

  /** A commit has ended, in whatever way. */
  end(touched: ReadonlySet<string>): void {
    for (const key of touched) {
      const left = (this.#writing.get(key) ?? 0) - 1;
      if (left > 0) this.#writing.set(key, left);
      else this.#writing.delete(key);
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    this.#drop(key);
    for (const reading of this.#reading.get(key) ?? []) reading.old = true;
  }

  #remember(key: string, record: StoredRecord | undefined): void {
    this.#drop(key);
    const size = ENTRY + key.length + (record === undefined ? 0 : freeze(record.body));
    if (size > Math.min(MOST_OF_ONE, this.#mostText)) return;
    for (const oldest of this.#known.keys()) {
      if (this.#text + size <= this.#mostText) break;
      this.#drop(oldest);
    }
    this.#text += size;
    this.#known.set(key, { record: record && Object.freeze(record), size });
  }

  #drop(key: string): void {
    this.#text -= this.#known.get(key)?.size ?? 0;
    this.#known.delete(key);
  }
}

/** Nobody changes what others read as well. @returns about how long the value is as text */
function freeze(value: JsonValue): number {
  if (typeof value === 'string') return value.length + 3;
  if (typeof value !== 'object' || value === null) return 8;
  Object.freeze(value);
  let size = 2;
  for (const [name, member] of Object.entries(value)) size += name.length + 4 + freeze(member);
  return size;
}
