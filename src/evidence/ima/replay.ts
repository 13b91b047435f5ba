import { LIMITS, Reader, refuse } from '../../base/index.ts';
import type { HashName } from '../../tpm/index.ts';
import type { BankChain, BankMode } from './bank-chain.ts';
import { ChunkJoiner } from './chunk-joiner.ts';
import type { Joined } from './chunk-joiner.ts';
import { COLUMN, DigestMemory, FLAG, STRIDE, digestEntries } from './entries.ts';
import type { DigestOrder, DigestedEntries } from './entries.ts';
import { newFields, readFields } from './fields.ts';
import type { EntryFields } from './fields.ts';
import type { KnownDigests } from './known-digests.ts';
import { IMA_PCR, PcrChains } from './pcr-chains.ts';
import type { BankOrder } from './pcr-chains.ts';
import { parseTemplate } from './template.ts';
import type { Template } from './template.ts';

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

export interface ReplayOrder {
  readonly banks: readonly BankOrder[];
  /** Number of the list's first entry: not 0 when the list goes on from a known state. */
  readonly firstEntry: number;
  /** What is done with each entry before the quoted value is reached. */
  readonly visit: (entry: EntryView) => void;
  /** Entries that needn't be visited, since their template digest says all; `add` counts them. */
  readonly known?: { readonly digests: KnownDigests; readonly add: (count: number) => void };
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

/** Bytes that are digested at a time: small enough to stay in the cache. */
const BATCH_BYTES = 256 * 1024;

/** A batch of whole entries on its way through the replay. */
interface Batch {
  readonly bytes: Buffer;
  readonly reader: Reader;
  readonly digested: DigestedEntries;
  readonly templates: readonly Template[];
  readonly view: EntryView;
}

/**
 * Replays a binary list that arrives in chunks of any size; memory doesn't grow with the list. Only entries up to the
 * one that gives the quoted PCR value are visited and kept in the chains: the tail is checked for form and its SHA-1
 * column, and counted.
 */
export class ImaReplay {
  readonly #order: ReplayOrder;
  readonly #chains: PcrChains;
  readonly #joiner: ChunkJoiner;
  readonly #templates = new Map<string, Template>();
  readonly #otherPcrs = new Map<number, number>();
  readonly #fields = newFields();
  readonly #hashBanks: readonly HashName[];
  /** Of the batches that are digested here, one after the other. */
  readonly #memory = new DigestMemory();
  #entries: number;
  #consumed: number | null = null;
  #matched: ReadonlyMap<HashName, BankMode> = new Map();

  constructor(order: ReplayOrder) {
    this.#order = order;
    this.#chains = new PcrChains(order.banks);
    this.#joiner = new ChunkJoiner(order.maxBytes ?? LIMITS.imaList);
    this.#entries = order.firstEntry;
    this.#hashBanks = order.banks.filter(({ modes }) => modes.includes('hash')).map(({ bank }) => bank);
    // A quote with nothing new in it.
    this.#match();
  }

  /** How a batch at `base` is to be digested. */
  digestOrder(base: number): DigestOrder {
    return { banks: this.#hashBanks, base, known: this.#order.known?.digests };
  }

  /**
   * The next bytes of the list; their memory is the caller's again when this returns.
   * @throws Refusal `malformed`, `ima-template-digest`
   */
  push(chunk: Uint8Array): void {
    const joined = this.#joiner.add(chunk);
    if (joined !== undefined) this.#digestAll(joined);
  }

  /**
   * As {@link push} for a caller that digests elsewhere: gives a stretch of the list, or undefined while there is too
   * little. The caller takes whole entries off it, hands back the rest with {@link keep} before the next call, and gives
   * the digested entries to {@link consume} in the list's order.
   */
  join(chunk: Uint8Array): Joined | undefined {
    return this.#joiner.add(chunk);
  }

  /** Keeps what follows `at` for the next chunk. */
  keep(joined: Joined, at: number): void {
    this.#joiner.keep(joined, at);
  }

  /** Replays a batch that {@link digestEntries} digested. */
  consume(bytes: Uint8Array, base: number, digested: DigestedEntries): void {
    const templates = digested.templates.map((name) => this.#template(name, base));
    const [template] = templates;
    if (template === undefined) return;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const view = { number: 0, pcr: 0, violation: false, template, batch: buffer, fields: this.#fields };
    const reader = new Reader(buffer, 'IMA list', base);
    const batch = { bytes: buffer, reader, digested, templates, view };
    const { table, count } = digested;
    for (let i = 0; i < count; i++) {
      const row = i * STRIDE;
      const known = table[row + COLUMN.flags] === FLAG.known && table[row + COLUMN.pcr] === IMA_PCR;
      if (known && this.#consumed === null) this.#known(batch, i);
      else this.#entry(batch, i);
    }
  }

  /**
   * The end of the list.
   * @throws Refusal `malformed` when it ends inside an entry
   */
  finish(): ReplayResult {
    if (this.#joiner.waitingBytes > 0) this.#digestAll(this.#joiner.take());
    if (this.#joiner.waitingBytes > 0) {
      const { offset } = this.#joiner;
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
      chains: this.#chains.all,
    };
  }

  #digestAll(joined: Joined): void {
    const { bytes, base } = joined;
    let at = 0;
    for (let window = BATCH_BYTES; at < bytes.length;) {
      const rest = new Reader(bytes, 'IMA list', base);
      rest.skip(at);
      const batch = rest.bytes(Math.min(window, rest.remaining));
      const digested = digestEntries(batch, { ...this.digestOrder(base + at), memory: this.#memory });
      this.consume(batch, base + at, digested);
      at += digested.consumed;
      // No whole entry in the window: a longer one, until the end of what has arrived.
      if (digested.count > 0) window = BATCH_BYTES;
      else if (rest.remaining === 0) break;
      else window *= 2;
    }
    this.#joiner.keep(joined, at);
  }

  #known({ bytes, digested }: Batch, index: number): void {
    this.#entries++;
    this.#order.known?.add(1);
    const sha1 = digested.table[index * STRIDE + COLUMN.sha1] ?? 0;
    this.#chains.extend(IMA_PCR, digested, index, bytes, sha1);
    this.#match();
  }

  #entry({ bytes, reader, digested, templates, view }: Batch, index: number): void {
    const { table } = digested;
    const row = index * STRIDE;
    const data = table[row + COLUMN.data] ?? 0;
    view.violation = table[row + COLUMN.flags] === FLAG.violation;
    view.template = templates[table[row + COLUMN.template] ?? 0] ?? view.template;
    view.pcr = table[row + COLUMN.pcr] ?? 0;
    reader.skip(data - (bytes.length - reader.remaining));
    const end = data + (table[row + COLUMN.length] ?? 0);
    readFields(reader, bytes, end, view.template, view.violation, view.fields);
    view.number = this.#entries++;
    // The tail: of the right form, and no more is known about it.
    if (this.#consumed !== null) return;
    const { pcr } = view;
    if (view.violation) this.#chains.extendViolation(pcr);
    else this.#chains.extend(pcr, digested, index, bytes, table[row + COLUMN.sha1] ?? 0);
    this.#order.visit(view);
    if (pcr === IMA_PCR) this.#match();
    else this.#otherPcrs.set(pcr, (this.#otherPcrs.get(pcr) ?? 0) + 1);
  }

  /** Whether the running values are quoted ones; the first entry where one is ends the verified part. */
  #match(): void {
    const reached = this.#chains.reached();
    if (reached === undefined) return;
    this.#matched = reached;
    this.#consumed = this.#entries;
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
