import type { RecordRef } from '../audit/ledger.ts';
import { Writer, equalBytes, refuse, sha256, toHex, utf8 } from '../base/index.ts';
import { deriveKey } from './record-mac.ts';
import { TagTable } from './tag-table.ts';

/** An id that works once, as its row has it. */
export interface OnceRow extends RecordRef {
  readonly expires: number;
}

/** What the rows of a store come to as a whole; secret, since only MACs of it are written down. */
export interface SetDigests {
  /** 40 bytes: how many records, and their sum. */
  readonly records: Uint8Array;
  /** 40 bytes: the same of ids that work once. */
  readonly once: Uint8Array;
}

/** A write of the commit under way. */
export interface RecordWrite extends RecordRef {
  readonly version: number;
  /** MAC of the row that was there; undefined: none. */
  readonly before: Uint8Array | undefined;
  readonly mac: Uint8Array;
}

/** An id that the commit under way takes or forgets, and its row's element. */
interface Taken {
  readonly row: OnceRow;
  readonly element: Uint8Array;
}

const MODULUS_BITS = 256;
/** Places that are kept, so that a row that is used all the time costs no hash: some 100 bytes each. */
const MAX_PLACES = 4096;

/**
 * What the verifier remembers of the rows of its store: of each record the beginning of its newest MAC, of each id that
 * works once that it was taken. A row that is put back to what it once was, with its MAC of then, or that is deleted,
 * is noticed when it is read; and all of them together have a digest, the sum modulo 2^256 of a keyed hash of each row
 * (a multiset hash: order doesn't matter, a row is added or taken away in constant time). Neither the sum nor what it
 * is made of is ever written down, only a MAC of it in the head, so nobody can look for other rows with the same sum.
 */
export class RecordSet {
  readonly #elementKey: Uint8Array;
  readonly #placeKey: Uint8Array;
  readonly #places = new Map<string, Uint8Array>();
  readonly #records = new TagTable();
  readonly #once = new TagTable();
  readonly #counts = new Map<string, number>();
  #recordSum = 0n;
  #onceSum = 0n;
  /** What the commit under way has written, and what its change under way has. */
  #batch = new Map<string, RecordWrite>();
  #change = new Map<string, RecordWrite>();
  #taken = new Map<string, Taken>();
  #forgotten: Taken[] = [];
  /** Sum of the commit under way, when its digests were made. */
  #batchSum = 0n;

  /** @param macKey key of the row MACs; other keys are derived from it */
  constructor(macKey: Uint8Array) {
    this.#elementKey = deriveKey(macKey, 'record-set-element');
    this.#placeKey = deriveKey(macKey, 'record-set-place');
  }

  /** Adds a record as it was found at start. */
  load(ref: RecordRef, mac: Uint8Array): void {
    this.#records.set(this.#hash(this.#placeKey, ref), mac);
    this.#recordSum = sum(this.#recordSum, number(this.#element(ref, mac)));
    this.#counts.set(ref.kind, this.count(ref.kind) + 1);
  }

  /** Adds an id that was taken, as it was found at start. */
  loadOnce(row: OnceRow): void {
    this.#add({ row, element: this.#onceElement(row) });
  }

  /** Whether there are no rows. */
  isEmpty(): boolean {
    return this.#records.size === 0 && this.#once.size === 0;
  }

  /**
   * Compares what was read with what was written last.
   * @param mac of the row; undefined: there was none
   * @throws Refusal `record-stale`
   */
  expect(ref: RecordRef, mac: Uint8Array | undefined): void {
    if (this.#isNewest(ref, mac)) return;
    refuse('record-stale', 'a row of the store is not the one that was written last', {
      ...{ kind: ref.kind, id: ref.id, found: mac === undefined ? 'none' : 'another' },
    });
  }

  /** Whether the commit under way has written a record: what is read of it may still be undone. */
  isWritten(ref: RecordRef): boolean {
    const name = nameOf(ref);
    return this.#change.has(name) || this.#batch.has(name);
  }

  /** How many records of a kind there are. */
  count(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }

  /** Whether an id was taken. */
  wasTaken(ref: RecordRef): boolean {
    return this.#taken.has(nameOf(ref)) || this.#once.has(this.#hash(this.#placeKey, ref));
  }

  /** An id is taken by the commit under way, whatever comes of its change. */
  take(row: OnceRow): void {
    this.#taken.set(nameOf(row), { row, element: this.#onceElement(row) });
  }

  /**
   * The commit under way forgets an id that nothing accepts any more.
   * @throws Refusal `record-stale` when its row isn't what was written
   */
  forget(row: OnceRow): void {
    const element = this.#onceElement(row);
    if (this.#once.matches(this.#hash(this.#placeKey, row), element) !== true)
      refuse('record-stale', 'an id that works once is not the one that was written', { kind: row.kind });
    this.#forgotten.push({ row, element });
  }

  /** The change under way has written a record. */
  wrote(write: RecordWrite): void {
    keepFirst(this.#change, nameOf(write), write);
  }

  /** What the change under way has written, to be noted with its leaf. */
  writes(): readonly RecordWrite[] {
    return [...this.#change.values()];
  }

  /** The change under way holds: `true`; it was undone: `false`. */
  endChange(holds: boolean): void {
    if (holds) for (const [name, write] of this.#change) keepFirst(this.#batch, name, write);
    this.#change = new Map();
  }

  /** Digests as they will be when the commit under way holds. */
  digests(): SetDigests {
    this.#batchSum = 0n;
    let count = this.#records.size;
    for (const write of this.#batch.values()) {
      this.#batchSum += number(this.#element(write, write.mac));
      if (write.before === undefined) count++;
      else this.#batchSum -= number(this.#element(write, write.before));
    }
    let once = this.#onceSum;
    for (const { element } of this.#taken.values()) once += number(element);
    for (const { element } of this.#forgotten) once -= number(element);
    return {
      records: digest(count, sum(this.#recordSum, this.#batchSum)),
      once: digest(this.#once.size + this.#taken.size - this.#forgotten.length, sum(once, 0n)),
    };
  }

  /** The commit under way, whose digests were made, is durable: `true`; nothing of it is there: `false`. */
  endCommit(durable: boolean): void {
    if (durable) {
      this.#recordSum = sum(this.#recordSum, this.#batchSum);
      for (const { before, mac, ...ref } of this.#batch.values()) {
        this.#records.set(this.#place(ref), mac);
        if (before === undefined) this.#counts.set(ref.kind, this.count(ref.kind) + 1);
      }
      for (const taken of this.#taken.values()) this.#add(taken);
      for (const { row, element } of this.#forgotten) {
        this.#once.delete(this.#hash(this.#placeKey, row));
        this.#onceSum = sum(this.#onceSum, -number(element));
      }
    }
    this.#batch = new Map();
    this.#change = new Map();
    this.#taken = new Map();
    this.#forgotten = [];
    this.#batchSum = 0n;
  }

  #isNewest(ref: RecordRef, mac: Uint8Array | undefined): boolean {
    const name = nameOf(ref);
    const own = this.#change.get(name) ?? this.#batch.get(name);
    if (own !== undefined) return mac !== undefined && equalBytes(own.mac, mac);
    const place = this.#place(ref);
    return mac === undefined ? !this.#records.has(place) : this.#records.matches(place, mac) === true;
  }

  #add({ row, element }: Taken): void {
    this.#once.set(this.#hash(this.#placeKey, row), element);
    this.#onceSum = sum(this.#onceSum, number(element));
  }

  #place(ref: RecordRef): Uint8Array {
    const name = nameOf(ref);
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    if (this.#places.size >= MAX_PLACES) this.#places.clear();
    const place = this.#hash(this.#placeKey, ref);
    this.#places.set(name, place);
    return place;
  }

  #element(ref: RecordRef, mac: Uint8Array): Uint8Array {
    return this.#hash(this.#elementKey, ref, mac);
  }

  #onceElement(row: OnceRow): Uint8Array {
    // Shorter than any MAC, so no record's element is one of these.
    return this.#hash(this.#elementKey, row, utf8(String(row.expires)));
  }

  /** A keyed hash. Nobody ever sees one, so that the key before the text is enough; HMAC takes three times as long. */
  #hash(key: Uint8Array, { kind, id }: RecordRef, rest: Uint8Array = new Uint8Array()): Uint8Array {
    // Lengths before both, so that no two pairs are the same text.
    const name = `${String(kind.length)} ${kind} ${String(id.length)} ${id} `;
    return sha256(Buffer.concat([key, Buffer.from(name, 'utf8'), rest]));
  }
}

/** What is written twice replaces what was there before both. */
function keepFirst(writes: Map<string, RecordWrite>, name: string, write: RecordWrite): void {
  const earlier = writes.get(name);
  writes.set(name, earlier === undefined ? write : { ...write, before: earlier.before });
}

const nameOf = ({ kind, id }: RecordRef): string => `${kind}\0${id}`;
const number = (bytes: Uint8Array): bigint => BigInt(`0x${toHex(bytes)}`);
const sum = (a: bigint, b: bigint): bigint => BigInt.asUintN(MODULUS_BITS, a + b);

function digest(count: number, total: bigint): Uint8Array {
  const text = total.toString(16).padStart(MODULUS_BITS / 4, '0');
  return new Writer()
    .u64(BigInt(count))
    .bytes(new Uint8Array(Buffer.from(text, 'hex')))
    .finish();
}
