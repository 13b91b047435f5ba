import { hash } from 'node:crypto';
import { Reader, refuse } from '../../base/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { digestSize } from '../../tpm/index.ts';
import { hashWords } from './hash-words.ts';
import { KNOWN_TEMPLATE } from './known-digests.ts';
import type { KnownDigests } from './known-digests.ts';
import { MAX_TEMPLATE_NAME, parseTemplate } from './template.ts';

/** Bytes of an entry before the template's name: PCR index, SHA-1 template digest, length of the name. */
const HEADER = 28;
const SHA1_SIZE = 20;
/** Largest template data that is read. Paths have 4 KiB, keys and signatures a few; critical data is hashed first. */
const MAX_DATA = 1024 * 1024;
/** Bytes that the first template's name is padded to before it is hashed (IMA_EVENT_NAME_LEN_MAX + 1). */
const LEGACY_NAME = 256;
/** Different templates in one batch; a kernel uses two or three. */
export const MAX_TEMPLATES = 64;
/** PCRs of a TPM (PC Client profile). */
const PCRS = 24;

/** Numbers per entry in {@link DigestedEntries.table}. */
export const STRIDE = 7;
/**
 * Columns of the table; positions count from the start of the batch. `known` is the index in {@link KnownDigests} of
 * an entry with that flag.
 */
export const COLUMN = { pcr: 0, template: 1, sha1: 2, data: 3, length: 4, flags: 5, known: 6 } as const;
/** Bits of the column `flags`. */
export const FLAG = { violation: 1, known: 2 } as const;

/**
 * A batch of whole entries with everything that can be computed without the entries before it. Plain arrays, so that
 * a worker can compute it and hand it over without copying.
 */
export interface DigestedEntries {
  readonly count: number;
  /** Bytes of the batch that were whole entries. */
  readonly consumed: number;
  /** {@link STRIDE} numbers for each entry. */
  readonly table: Uint32Array;
  /** Names that the column `template` points to. */
  readonly templates: readonly string[];
  /** For each bank asked for but sha1 (whose digests are in the list): the template digests, one after the other. */
  readonly digests: TemplateDigests;
}

/** Digests one after the other, as words since those are copied and compared four times as fast as bytes. */
export type TemplateDigests = Readonly<Partial<Record<HashName, Uint32Array>>>;

/** What {@link digestEntries} is to do. */
export interface DigestOrder {
  /** Banks whose template digests are wanted. */
  readonly banks: readonly HashName[];
  /** Offset of the batch in the whole list, for refusals. */
  readonly base: number;
  /** Entries that are known by their SHA-256 template digest; of use only when that bank is wanted. */
  readonly known?: KnownDigests | undefined;
  /** Memory of the batch before: what it gave is overwritten. Left out where results are kept or handed on. */
  readonly memory?: DigestMemory | undefined;
  /** No more entries than these are taken, so that memory for as many is enough. */
  readonly maxEntries?: number;
}

/**
 * Memory that one batch after the other uses. Fresh memory for each would be collected soon, but the collector goes by
 * bytes outside its heap, and each of its runs looks at the whole allow-list: half of the time of a replay.
 */
export class DigestMemory {
  readonly #arrays: Map<string, Uint8Array>;

  /** @param given memory that the caller has, each from the start of its buffer: `table`, or a bank's name */
  constructor(given: Iterable<readonly [string, Uint8Array]> = []) {
    this.#arrays = new Map(given);
  }

  /** At least `size` bytes; the content is whatever was there. */
  take(name: string, size: number): Uint8Array {
    let array = this.#arrays.get(name);
    if (array === undefined || array.length < size) {
      array = new Uint8Array(size);
      this.#arrays.set(name, array);
    }
    return array;
  }
}

/**
 * Takes entries off the start of `bytes` until they end or the last one is incomplete: the form of the frame is
 * checked, the SHA-1 column is recomputed, and the template digests of the banks are made.
 *
 * @param bytes some hundred KiB at a time; they are copied
 * @throws Refusal `malformed` with the offset; `ima-template-digest` when an entry's SHA-1 isn't that of its data
 */
export function digestEntries(bytes: Uint8Array, order: DigestOrder): DigestedEntries {
  const entries = new Entries(bytes, order);
  while (entries.take());
  return entries.finish();
}

/**
 * Positions of entry boundaries without hashing anything: what is needed to hand whole entries to workers.
 * @returns bytes and number of the whole entries at the start of `bytes`, at most `maxEntries`
 */
export function frameEntries(
  bytes: Uint8Array,
  base: number,
  maxEntries: number,
): { consumed: number; count: number } {
  const reader = new Reader(bytes, 'IMA list', base);
  const frame = new Frame();
  let consumed = 0;
  let count = 0;
  while (count < maxEntries && frame.read(reader, bytes)) {
    reader.skip(frame.length);
    consumed = bytes.length - reader.remaining;
    count++;
  }
  return { consumed, count };
}

/** The frame of one entry; read again for each, since objects cost more than the parsing. */
class Frame {
  pcr = 0;
  /** Position of the SHA-1 template digest. */
  sha1 = 0;
  nameAt = 0;
  nameLength = 0;
  /** Position and length of what the template digest is over. */
  data = 0;
  length = 0;
  legacy = false;

  /** Reads up to the data. @returns false when the entry is incomplete: the rest may still arrive */
  read(reader: Reader, bytes: Uint8Array): boolean {
    if (reader.remaining < HEADER) return false;
    this.pcr = reader.u32le();
    if (this.pcr >= PCRS) reader.malformed(`PCR ${String(this.pcr)}`);
    this.sha1 = bytes.length - reader.remaining;
    reader.skip(SHA1_SIZE);
    this.nameLength = reader.u32le();
    if (this.nameLength === 0 || this.nameLength > MAX_TEMPLATE_NAME) {
      reader.malformed(`template name of ${String(this.nameLength)} bytes`);
    }
    if (reader.remaining < this.nameLength) return false;
    this.nameAt = bytes.length - reader.remaining;
    reader.skip(this.nameLength);
    // "ima" alone has no length of its own: a digest of 20 bytes, then a sized name.
    this.legacy =
      this.nameLength === 3 &&
      bytes[this.nameAt] === 0x69 &&
      bytes[this.nameAt + 1] === 0x6d &&
      bytes[this.nameAt + 2] === 0x61;
    return this.legacy ? this.#readLegacy(reader, bytes) : this.#readSized(reader, bytes);
  }

  #readSized(reader: Reader, bytes: Uint8Array): boolean {
    if (reader.remaining < 4) return false;
    this.length = reader.u32le();
    if (this.length > MAX_DATA) reader.malformed(`template data of ${String(this.length)} bytes`);
    this.data = bytes.length - reader.remaining;
    return reader.remaining >= this.length;
  }

  #readLegacy(reader: Reader, bytes: Uint8Array): boolean {
    this.data = bytes.length - reader.remaining;
    const start = reader.peek(SHA1_SIZE + 4);
    if (start === undefined) return false;
    const nameLength = new Reader(start, reader.structure, reader.offset);
    nameLength.skip(SHA1_SIZE);
    const name = nameLength.u32le();
    if (name >= LEGACY_NAME) nameLength.malformed(`name of ${String(name)} bytes`);
    this.length = SHA1_SIZE + 4 + name;
    return reader.remaining >= this.length;
  }
}

/**
 * Data up to this size is hashed in a scratch area; larger data, which is rare, through a view of its own. The memory
 * `work` has these bytes and those of the batch.
 */
export const SCRATCH = 4096;

/** Template digests of one bank under way. */
interface BankDigests {
  readonly bank: HashName;
  /** Words of one digest. */
  readonly words: number;
  readonly out: Uint32Array;
}

class Entries {
  /** The scratch area, then a copy of the batch: moving data within one array is cheaper than making a view of it. */
  readonly #work: Uint8Array;
  readonly #views: (Uint8Array | undefined)[] = [];
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #reader: Reader;
  readonly #frame = new Frame();
  readonly #templates: string[] = [];
  readonly #banks: readonly BankDigests[];
  readonly #table: Uint32Array;
  readonly #room: number;
  #count = 0;
  #consumed = 0;
  /** Known entries, and where to look them up; undefined when there is no SHA-256 to look up. */
  readonly #known: KnownDigests | undefined;
  readonly #sha256: Uint32Array;
  /** Index of the template that known entries have. */
  #knownTemplate = -1;
  /** Template of the entry before: nearly always this one's too. */
  readonly #lastTemplate = { at: 0, length: 0, index: -1 };

  constructor(bytes: Uint8Array, order: DigestOrder) {
    const memory = order.memory ?? new DigestMemory();
    this.#work = memory.take('work', SCRATCH + bytes.length);
    this.#work.set(bytes, SCRATCH);
    this.#bytes = bytes;
    this.#base = order.base;
    this.#reader = new Reader(bytes, 'IMA list', order.base);
    // An entry has more than 32 bytes: room grows with what was received, never with a number in it.
    const room = Math.min(Math.ceil(bytes.length / 33), order.maxEntries ?? Infinity);
    this.#room = room;
    this.#table = new Uint32Array(memory.take('table', room * STRIDE * 4).buffer);
    this.#banks = order.banks
      .filter((bank) => bank !== 'sha1')
      .map((bank) => {
        const size = digestSize(bank);
        return { bank, words: size / 4, out: new Uint32Array(memory.take(bank, room * size).buffer) };
      });
    const sha256 = this.#banks.find(({ bank }) => bank === 'sha256')?.out;
    this.#known = sha256 && order.known;
    this.#sha256 = sha256 ?? new Uint32Array();
  }

  /** Takes one entry; false when there is no whole one left. */
  take(): boolean {
    const frame = this.#frame;
    const count = this.#count;
    if (count === this.#room || !frame.read(this.#reader, this.#bytes)) return false;
    const template = this.#templateIndex(frame.nameAt, frame.nameLength);
    const hashed = this.#hashed();
    for (const { bank, words, out } of this.#banks) hashWords(bank, hashed, out, count * words);
    const row = count * STRIDE;
    this.#table[row + COLUMN.pcr] = frame.pcr;
    this.#table[row + COLUMN.template] = template;
    this.#table[row + COLUMN.sha1] = frame.sha1;
    this.#table[row + COLUMN.data] = frame.data;
    this.#table[row + COLUMN.length] = frame.length;
    this.#table[row + COLUMN.flags] = this.#flags(template, hashed);
    this.#count = count + 1;
    this.#consumed = frame.data + frame.length;
    return true;
  }

  /** Tells violations and known entries; of every other one, the SHA-1 column is recomputed. */
  #flags(template: number, hashed: Uint8Array): number {
    const at = this.#frame.sha1;
    if (this.#isViolation(at)) return FLAG.violation;
    const known = this.#known;
    const index = template === this.#knownTemplate ? (known?.find(this.#sha256, this.#count * 8) ?? -1) : -1;
    if (known === undefined || index === -1) {
      this.#checkSha1(hashed, at);
      return 0;
    }
    // The same data was hashed with SHA-1 when the rules were compiled.
    if (!known.hasSha1(index, this.#bytes, at)) this.#wrongSha1(at, hashed);
    this.#table[this.#count * STRIDE + COLUMN.known] = index;
    return FLAG.known;
  }

  /** What the template digests of the current entry are over; valid until the next call. */
  #hashed(): Uint8Array {
    const { data, length, legacy } = this.#frame;
    if (legacy) return legacyData(this.#reader.bytes(length));
    if (length > SCRATCH) return this.#reader.bytes(length);
    this.#reader.skip(length);
    this.#work.copyWithin(0, SCRATCH + data, SCRATCH + data + length);
    return (this.#views[length] ??= new Uint8Array(this.#work.buffer, 0, length));
  }

  finish(): DigestedEntries {
    return {
      count: this.#count,
      consumed: this.#consumed,
      table: this.#table,
      templates: this.#templates,
      digests: Object.fromEntries(
        this.#banks.map(({ bank, words, out }) => [
          bank,
          new Uint32Array(out.buffer, 0, this.#count * words),
        ]),
      ),
    };
  }

  #isViolation(at: number): boolean {
    for (let i = 0; i < SHA1_SIZE; i++) if (this.#bytes[at + i] !== 0) return false;
    return true;
  }

  /** The column is recomputed even when another bank is quoted: else it would be a claim beside verified data. */
  #checkSha1(hashed: Uint8Array, at: number): void {
    const expected = hash('sha1', hashed, 'binary');
    for (let i = 0; i < SHA1_SIZE; i++) {
      if (this.#bytes[at + i] !== expected.charCodeAt(i)) this.#wrongSha1(at, hashed);
    }
  }

  #wrongSha1(at: number, hashed: Uint8Array): never {
    const offset = this.#base + at;
    refuse('ima-template-digest', `entry at offset ${String(offset)} does not have its template digest`, {
      structure: 'IMA list',
      offset,
      expected: hash('sha1', hashed),
    });
  }

  #templateIndex(at: number, length: number): number {
    const last = this.#lastTemplate;
    let same = last.length === length;
    for (let i = 0; same && i < length; i++) same = this.#bytes[last.at + i] === this.#bytes[at + i];
    if (!same) {
      const name = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, length).toString('latin1');
      const known = this.#templates.indexOf(name);
      last.index = known === -1 ? this.#addTemplate(name, at) : known;
      last.at = at;
      last.length = length;
    }
    return last.index;
  }

  #addTemplate(name: string, at: number): number {
    parseTemplate(name, this.#base + at);
    if (this.#templates.length === MAX_TEMPLATES) this.#reader.malformed('too many templates');
    const index = this.#templates.push(name) - 1;
    if (name === KNOWN_TEMPLATE) this.#knownTemplate = index;
    return index;
  }
}

/** What the first template's digest is over: the digest and the name padded to 256 bytes, without a length. */
function legacyData(data: Uint8Array): Uint8Array {
  const reader = new Reader(data, 'IMA list');
  const out = new Uint8Array(SHA1_SIZE + LEGACY_NAME);
  out.set(reader.bytes(SHA1_SIZE));
  reader.skip(4);
  out.set(reader.rest(), SHA1_SIZE);
  return out;
}
