import { createHash } from 'node:crypto';
import type { Change, Committed, Records } from '../audit/index.ts';
import { STATUS_LIST_SIZE, signStatusList, thumbprint } from '../authorization/index.ts';
import type { SigningKey } from '../authorization/index.ts';
import { isJsonObject } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import type { KeyRing } from '../config/index.ts';
import { ALIVE, EXECUTION } from '../lifecycle/index.ts';
import type { ExecutionState, StatusIndexes } from '../lifecycle/index.ts';

/** A signed list is believed for so long: seconds. */
const LIFETIME_SECONDS = 60;
/** What relying parties and caches between may keep it: seconds. Revocation is seen after this at the latest. */
export const STATUS_TTL_SECONDS = 15;
const PAGE = 1000;

/** A signed list, with the tag that changes with it. */
export interface SignedStatusList {
  readonly token: string;
  readonly etag: string;
}

interface List {
  readonly bits: Uint8Array;
  /** Grows with each bit that is set. */
  changes: number;
  signed?: SignedStatusList & { readonly issuedAt: number; readonly changes: number };
}

interface Parts {
  readonly records: Records;
  readonly clock: Clock;
  readonly key: SigningKey;
  /** `https://verifier.example.org/v1/status-lists/` */
  readonly base: string;
}

/**
 * The verifier's status lists: a bit for each execution, set when it was revoked or has ended. They follow from the
 * records alone: read once, when a list is first asked for, and then kept by what each commit wrote.
 */
export class StatusLists {
  readonly #parts: Parts;
  readonly #lists = new Map<string, List>();
  #loaded: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The status lists of a verifier, signed by its key for status lists. */
  static async of(
    ring: KeyRing,
    url: string,
    { records, clock }: Pick<Parts, 'records' | 'clock'>,
  ): Promise<StatusLists> {
    const key = ring.privateKey('status');
    const signing = { key, kid: await thumbprint(key), algorithm: 'ES256' as const };
    return new StatusLists({ records, clock, key: signing, base: statusBase(url) });
  }

  /** What a commit wrote: called with each, before anybody learns of it. */
  committed(changes: readonly Change[], committed: readonly Committed[]): void {
    for (const [i, { writes }] of changes.entries()) {
      if (committed[i]?.ok !== true) continue;
      for (const { kind, body } of writes) if (kind === EXECUTION) this.#note(body);
    }
  }

  /** What became of a commit isn't known: the records are read again before anything is signed. */
  unsure(): void {
    this.#loaded = undefined;
  }

  /**
   * A list, signed now or lately. One is signed anew when a bit was set since, or when relying parties could not keep it
   * for the whole of its `ttl` any more: however often it is asked for, it costs a signature in {@link STATUS_TTL_SECONDS}
   * or a change.
   * @param name last segment of its uri
   * @returns undefined where no execution has an index in it
   */
  async signed(name: string): Promise<SignedStatusList | undefined> {
    await this.#load();
    const uri = this.#parts.base + name;
    const list = this.#lists.get(uri);
    if (list === undefined) return undefined;
    const now = Math.floor(this.#parts.clock.now() / 1000);
    const { signed } = list;
    if (
      signed?.changes === list.changes &&
      now >= signed.issuedAt &&
      now < signed.issuedAt + STATUS_TTL_SECONDS
    )
      return signed;
    return await this.#sign(uri, list, now);
  }

  async #sign(uri: string, list: List, now: number): Promise<SignedStatusList> {
    // Before the signature: what is set while it is made belongs to the next one.
    const { changes } = list;
    const bits = Uint8Array.from(list.bits);
    const terms = { uri, bits, issuedAt: now, expires: now + LIFETIME_SECONDS, ttl: STATUS_TTL_SECONDS };
    const token = await signStatusList(terms, this.#parts.key);
    const etag = `"${createHash('sha256').update(token).digest('base64url')}"`;
    const signed = { token, etag, issuedAt: now, changes };
    // Of two signatures at a time the one that knows more stays.
    if (list.signed === undefined || list.signed.changes <= changes) list.signed = signed;
    return signed;
  }

  /** Bits are only ever set, so what commits write while records are read is not undone. */
  async #load(): Promise<void> {
    const loading = (this.#loaded ??= this.#read());
    try {
      await loading;
    } catch (error) {
      if (this.#loaded === loading) this.#loaded = undefined;
      throw error;
    }
    // What was read before such a commit may lack it.
    if (this.#loaded !== loading) await this.#load();
  }

  async #read(): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const rows = await this.#parts.records.list(EXECUTION, options);
      for (const { body } of rows) this.#note(body);
      after = rows.at(-1)?.id;
      if (rows.length < PAGE) return;
    }
  }

  /** An execution as it was written; the record's MAC vouches for what it is. */
  #note({ state, status }: JsonObject): void {
    if (!isJsonObject(status)) return;
    const { uri, idx } = status;
    if (typeof uri !== 'string' || typeof idx !== 'number') return;
    const list = this.#lists.get(uri) ?? { bits: new Uint8Array(STATUS_LIST_SIZE / 8), changes: 0 };
    this.#lists.set(uri, list);
    // Of a state that is not known here nothing is believed.
    if (ALIVE.has(state as ExecutionState)) return;
    const [at, bit] = [Math.floor(idx / 8), 1 << (idx % 8)];
    const byte = list.bits[at];
    if (byte === undefined || (byte & bit) !== 0) return;
    list.bits[at] = byte | bit;
    list.changes++;
  }
}

/** Where a verifier's lists are. */
export const statusBase = (url: string): string => `${url}/v1/status-lists/`;

/**
 * Indexes in lists of this start's own, {@link STATUS_LIST_SIZE} in each: one after the other, so that no decision that was
 * refused or whose commit failed makes two executions share one. Every allow is a leaf: a list that an earlier start gave
 * an index of is named by a smaller size. The epoch is in their names too: after a restore the log may be
 * smaller again, and lists that lost entries speak of are never given out anew.
 * @param first the log's size at the start
 */
export function statusIndexes(url: string, replica: string, epoch: string, first: number): StatusIndexes {
  let next = 0;
  return {
    assign: () => {
      const index = next++;
      const name = `${replica}-${epoch.slice(0, 8)}-${String(first)}-${String(Math.floor(index / STATUS_LIST_SIZE))}`;
      return Promise.resolve({ idx: index % STATUS_LIST_SIZE, uri: statusBase(url) + name });
    },
  };
}
