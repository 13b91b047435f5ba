import { createHmac } from 'node:crypto';
import { parseCheckpoint } from '../audit/index.ts';
import { Writer, equalBytes, refuse, utf8 } from '../base/index.ts';
import { prepared } from './prepared.ts';
import { deriveKey } from './record-mac.ts';
import type { SetDigests } from './record-set.ts';
import type { Database, HeadTable } from './schema.ts';

/** The head before the first commit. */
export const EMPTY_CHAIN: Uint8Array = new Uint8Array(32);

/** The head as a commit writes it, and as the next one has to find it. */
export interface Head {
  readonly size: bigint;
  /** Unix ms of the newest leaf. */
  readonly time: number;
  readonly checkpoint: string;
  /** Newest value of the journal's chain (journal.ts). */
  readonly chain: Uint8Array;
  /** MACs of all records, of all ids that work once, and of the head itself. */
  readonly recordsMac: Uint8Array;
  readonly onceMac: Uint8Array;
  readonly mac: Uint8Array;
}

/** What the head's MAC covers besides the head. */
export interface StoreName {
  readonly epoch: string;
  readonly origin: string;
}

/** Makes the head's MACs: of its own columns, and of the rows of the store as a whole. */
export class HeadSeal {
  readonly #key: Uint8Array;
  readonly #name: StoreName;

  /** @param macKey key of the row MACs */
  constructor(macKey: Uint8Array, name: StoreName) {
    this.#key = deriveKey(macKey, 'store-head');
    this.#name = name;
  }

  seal(content: Pick<Head, 'size' | 'time' | 'checkpoint' | 'chain'>, digests: SetDigests): Head {
    const head = { ...content, ...this.#digestMacs(digests) };
    return { ...head, mac: this.#mac(head) };
  }

  /** @throws Refusal `store-head` when the row was not written by this verifier, for this store */
  check(head: Head): void {
    if (!equalBytes(this.#mac(head), head.mac))
      refuse('store-head', 'the head of the store was not written by this verifier');
  }

  /** Which of the store's rows are, as a whole, not those that the head was written with. */
  stale(head: Head, digests: SetDigests): readonly ('records' | 'once')[] {
    const { recordsMac, onceMac } = this.#digestMacs(digests);
    return [
      ...(equalBytes(recordsMac, head.recordsMac) ? [] : ['records' as const]),
      ...(equalBytes(onceMac, head.onceMac) ? [] : ['once' as const]),
    ];
  }

  #digestMacs({ records, once }: SetDigests): Pick<Head, 'recordsMac' | 'onceMac'> {
    return { recordsMac: this.#hmac('records', records), onceMac: this.#hmac('once', once) };
  }

  #mac({ size, time, checkpoint, chain, recordsMac, onceMac }: Omit<Head, 'mac'>): Uint8Array {
    const bytes = new Writer()
      .sized16(utf8(this.#name.epoch))
      .sized16(utf8(this.#name.origin))
      .u64(size)
      .u64(BigInt(time))
      // The tree head itself; who signs it may change while it stays the same (rotation).
      .sized16(utf8(parseCheckpoint(utf8(checkpoint)).note.text))
      .sized16(chain)
      .sized16(recordsMac)
      .sized16(onceMac)
      .finish();
    return this.#hmac('head', bytes);
  }

  #hmac(label: string, bytes: Uint8Array): Uint8Array {
    return new Uint8Array(createHmac('sha256', this.#key).update(`${label}\0`).update(bytes).digest());
  }
}

const selectHead = prepared((db: Database) => db.selectFrom('head').selectAll());

/**
 * The head row as it is. @throws Refusal `store-head` when it was written before rows were covered as a whole
 */
export async function readHead(db: Database): Promise<Head | undefined> {
  const [row] = (await selectHead(db)).rows;
  return row === undefined ? undefined : headOf(row);
}

function headOf({ size, time, checkpoint, chain, records_mac, once_mac, mac }: HeadTable): Head {
  if (chain === null || records_mac === null || once_mac === null || mac === null)
    return refuse('store-head', 'the head of the store doesn’t cover its rows');
  return {
    ...{ size: BigInt(size), time, checkpoint, chain: Uint8Array.from(chain) },
    ...{ recordsMac: Uint8Array.from(records_mac), onceMac: Uint8Array.from(once_mac) },
    mac: Uint8Array.from(mac),
  };
}

const upsertHead = prepared(
  (
    db: Database,
    size: number,
    time: number,
    checkpoint: string,
    chain: Uint8Array,
    recordsMac: Uint8Array,
    onceMac: Uint8Array,
    mac: Uint8Array,
  ) => {
    const row = { size, time, checkpoint, chain, records_mac: recordsMac, once_mac: onceMac, mac };
    return db
      .insertInto('head')
      .values({ id: 1, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row));
  },
);

/** Writes the one head row. */
export async function writeHead(db: Database, head: Head): Promise<void> {
  const { size, time, checkpoint, chain, recordsMac, onceMac, mac } = head;
  await upsertHead(db, Number(size), time, checkpoint, chain, recordsMac, onceMac, mac);
}
