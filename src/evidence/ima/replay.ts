import { LIMITS, Reader, refuse } from '../../base/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { BankChain } from './bank-chain.ts';
import type { BankMode } from './bank-chain.ts';
import { COLUMN, STRIDE, digestEntries } from './entries.ts';
import type { DigestedEntries } from './entries.ts';
import { newFields, readFields } from './fields.ts';
import type { EntryFields } from './fields.ts';
import { parseTemplate } from './template.ts';
import type { Template } from './template.ts';

/** The PCR that IMA extends unless a policy rule says otherwise (CONFIG_IMA_MEASURE_PCR_IDX). */
export const IMA_PCR = 10;

/** One entry as a visitor sees it: positions in `batch`, valid only during the call. */
export interface EntryView {
  /** Number of the entry in the list of this boot, from 0. */
  number: number;
  pcr: number;
  violation: boolean;
  template: Template;
  /** Bytes of the batch; as a Buffer since that makes strings of parts without copying. */
  batch: Buffer;
  readonly fields: EntryFields;
}

/** What is done with each entry before the quoted value is reached. */
export type EntryVisitor = (entry: EntryView) => void;

/** A bank to replay: the ways to try, the value to go on from, and the value to reach. */
export interface BankOrder {
  readonly bank: HashName;
  readonly modes: readonly BankMode[];
  /** PCR 10 after the entries that were seen before; a reset PCR when left out. */
  readonly start?: Uint8Array;
  /** Quoted PCR 10. Without one, the whole list is replayed. */
  readonly target?: Uint8Array;
}

export interface ReplayOrder {
  readonly banks: readonly BankOrder[];
  /** Number of the list's first entry: not 0 when the list goes on from a known state. */
  readonly firstEntry: number;
  readonly visit: EntryVisitor;
  /** Bytes that are accepted; LIMITS.imaList when left out. */
  readonly maxBytes?: number;
}

/** Where the replay stands. */
export interface ReplayResult {
  /** Entries of this boot seen, those before `firstEntry` included. */
  readonly entries: number;
  /** Entries until the first quoted value was reached; null when none was. */
  readonly consumed: number | null;
  /** Banks that reached their quoted value at exactly that entry. */
  readonly matched: ReadonlyMap<HashName, BankMode>;
  /** Entries of other PCRs before that entry. */
  readonly otherPcrs: ReadonlyMap<number, number>;
  /** Running values by PCR, then bank and mode; PCRs other than 10 start at zero. */
  readonly chains: ReadonlyMap<number, readonly BankChain[]>;
}

/** Bytes of the list from `base` on. */
export interface Joined {
  readonly bytes: Uint8Array;
  readonly base: number;
}

/** Chunks are joined to at least this size, so that tiny ones cost no more than large ones. */
const MIN_JOIN = 64 * 1024;
/** Entries a batch: small enough to stay in the cache, large enough that batches cost nothing. */
export const BATCH_ENTRIES = 4096;

/**
 * Replays a binary list that arrives in chunks of any size; memory doesn't grow with the list. Only entries up to the
 * one that gives the quoted PCR value are visited and kept in the chains: the tail is checked for form and its SHA-1
 * column, and counted.
 */
export class ImaReplay {
  readonly #order: ReplayOrder;
  readonly #chains = new Map<number, readonly BankChain[]>();
  readonly #templates = new Map<string, Template>();
  readonly #otherPcrs = new Map<number, number>();
  readonly #fields = newFields();
  /** Chunks that are too small to start with, and the start of an entry whose end has not arrived. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #received = 0;
  #entries: number;
  #consumed: number | null = null;
  readonly #matched = new Map<HashName, BankMode>();
  readonly #hashBanks: readonly HashName[];

  constructor(order: ReplayOrder) {
    this.#order = order;
    this.#entries = order.firstEntry;
    this.#chains.set(IMA_PCR, this.#newChains(true));
    this.#hashBanks = order.banks.filter(({ modes }) => modes.includes('hash')).map(({ bank }) => bank);
    // A quote with nothing new in it.
    this.#match();
  }

  /** Banks whose template digests {@link consume} needs. */
  get hashBanks(): readonly HashName[] {
    return this.#hashBanks;
  }

  /** The next bytes of the list. @throws Refusal `malformed`, `ima-template-digest` */
  push(chunk: Uint8Array): void {
    const joined = this.join(chunk);
    if (joined !== undefined) this.#digestAll(joined);
  }

  /**
   * Joins a chunk with what was left over before it and says where in the list that lies; undefined while it is too
   * little to bother. The caller takes whole entries off it and gives back the rest with {@link keep}.
   */
  join(chunk: Uint8Array): Joined | undefined {
    this.#received += chunk.length;
    const max = this.#order.maxBytes ?? LIMITS.imaList;
    if (this.#received > max) {
      refuse('malformed', `IMA list: over the limit of ${String(max)} bytes`, { structure: 'IMA list' });
    }
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    return this.#waitingBytes < MIN_JOIN ? undefined : this.takeWaiting();
  }

  /** Everything that waits, also when it is little. */
  takeWaiting(): Joined {
    const [only, ...more] = this.#waiting;
    const bytes = only !== undefined && more.length === 0 ? only : Buffer.concat(this.#waiting);
    const base = this.#received - this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return { bytes, base };
  }

  /** Keeps a copy of what follows `at` until its end arrives; nothing else of the chunk stays in memory. */
  keep({ bytes }: Joined, at: number): void {
    if (at === bytes.length) return;
    this.#waiting = [new Uint8Array(bytes.slice(at))];
    this.#waitingBytes = bytes.length - at;
  }

  #digestAll(joined: Joined): void {
    const { bytes, base } = joined;
    let at = 0;
    for (;;) {
      const part = new Reader(bytes, 'IMA list', base);
      part.skip(at);
      const batch = part.rest();
      const order = { banks: this.#hashBanks, maxEntries: BATCH_ENTRIES, base: base + at };
      const digested = digestEntries(batch, order);
      this.consume(batch, base + at, digested);
      at += digested.consumed;
      if (digested.count < BATCH_ENTRIES) break;
    }
    this.keep(joined, at);
  }

  /** Replays a batch that {@link digestEntries} digested. */
  consume(bytes: Uint8Array, base: number, digested: DigestedEntries): void {
    const batch = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const reader = new Reader(batch, 'IMA list', base);
    const templates = digested.templates.map((name) => this.#template(name, base));
    const [first] = templates;
    if (first === undefined) return;
    const view: EntryView = {
      number: 0,
      pcr: 0,
      violation: false,
      template: first,
      batch,
      fields: this.#fields,
    };
    for (let i = 0; i < digested.count; i++) this.#entry(reader, view, templates, digested, i);
  }

  /**
   * The end of the list.
   * @throws Refusal `malformed` when it ends inside an entry
   */
  finish(): ReplayResult {
    if (this.#waitingBytes > 0) this.#digestAll(this.takeWaiting());
    if (this.#waitingBytes > 0) {
      const offset = this.#received - this.#waitingBytes;
      refuse('malformed', `IMA list: ends inside the entry at offset ${String(offset)}`, {
        structure: 'IMA list',
        offset,
      });
    }
    return {
      entries: this.#entries,
      consumed: this.#consumed,
      matched: this.#matched,
      otherPcrs: this.#otherPcrs,
      chains: this.#chains,
    };
  }

  #entry(
    reader: Reader,
    view: EntryView,
    templates: readonly Template[],
    digested: DigestedEntries,
    index: number,
  ): void {
    const { table } = digested;
    const row = index * STRIDE;
    const data = table[row + COLUMN.data] ?? 0;
    const pcr = table[row + COLUMN.pcr] ?? 0;
    const violation = table[row + COLUMN.violation] === 1;
    view.template = templates[table[row + COLUMN.template] ?? 0] ?? view.template;
    reader.skip(data - (view.batch.length - reader.remaining));
    const end = data + (table[row + COLUMN.length] ?? 0);
    readFields(reader, view.batch, end, view.template, violation, view.fields);
    view.number = this.#entries++;
    if (this.#consumed !== null) return;
    view.pcr = pcr;
    view.violation = violation;
    this.#extend(view, digested, index, table[row + COLUMN.sha1] ?? 0);
    this.#order.visit(view);
    if (pcr === IMA_PCR) this.#match();
  }

  #extend(
    { pcr, violation, batch }: EntryView,
    digested: DigestedEntries,
    index: number,
    sha1: number,
  ): void {
    if (pcr !== IMA_PCR) this.#otherPcrs.set(pcr, (this.#otherPcrs.get(pcr) ?? 0) + 1);
    for (const chain of this.#chainsOf(pcr)) {
      if (violation) chain.extendViolation();
      else if (chain.mode !== 'hash' || chain.bank === 'sha1') chain.extend(batch, sha1, 20);
      else {
        const digests = digested.digests[chain.bank];
        if (digests === undefined) throw new TypeError(`batch without ${chain.bank} digests`);
        chain.extend(digests, index * chain.size, chain.size);
      }
    }
  }

  /** Whether the running values are quoted ones; the first entry where one is ends the verified part. */
  #match(): void {
    for (const { bank, target } of this.#order.banks) {
      if (target === undefined || this.#matched.has(bank)) continue;
      const chain = this.#chainsOf(IMA_PCR).find((one) => one.bank === bank && one.equals(target));
      if (chain !== undefined) this.#matched.set(bank, chain.mode);
    }
    if (this.#matched.size > 0) this.#consumed = this.#entries;
  }

  #chainsOf(pcr: number): readonly BankChain[] {
    let chains = this.#chains.get(pcr);
    if (chains === undefined) {
      chains = this.#newChains(false);
      this.#chains.set(pcr, chains);
    }
    return chains;
  }

  #newChains(resume: boolean): readonly BankChain[] {
    return this.#order.banks.flatMap(({ bank, modes, start }) =>
      modes.map((mode) => new BankChain(bank, mode, resume ? start : undefined)),
    );
  }

  #template(name: string, base: number): Template {
    let template = this.#templates.get(name);
    if (template === undefined) {
      template = parseTemplate(name, base);
      this.#templates.set(name, template);
    }
    return template;
  }
}
