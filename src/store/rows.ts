import { sql } from 'kysely';
import type { RecordRef } from '../audit/ledger.ts';
import { canonicalJson, refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { prepared } from './prepared.ts';
import { checkRowMac, rowMac } from './record-mac.ts';
import type { RecordSet } from './record-set.ts';
import type { RecordText } from './record-text.ts';
import type { Database, RecordsTable } from './schema.ts';

/** Records in one answer at the most. */
const MAX_LIST = 1000;
/** Kinds that have no more rows are counted with each page: then a missing one is noticed in the first. */
const COUNTED_ALWAYS = 10_000;

const one = prepared((db: Database, kind: string, id: string) =>
  db.selectFrom('records').selectAll().where('kind', '=', kind).where('id', '=', id),
);
const page = prepared((db: Database, kind: string, after: string, limit: number) =>
  db
    .selectFrom('records')
    .selectAll()
    .where('kind', '=', kind)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit),
);
const count = prepared((db: Database, kind: string) =>
  db
    .selectFrom('records')
    .select((eb) => eb.fn.countAll<number>().as('rows'))
    .where('kind', '=', kind),
);
const upsert = prepared(
  (db: Database, kind: string, id: string, version: number, body: string, leaf: string, mac: Uint8Array) =>
    db
      .insertInto('records')
      .values({ kind, id, version, body, leaf, mac })
      .onConflict((conflict) => conflict.columns(['kind', 'id']).doUpdateSet({ version, body, leaf, mac })),
);

/** Records that are remembered as they were read, and how many characters of them. */
const MAX_READ = 20_000;
const MAX_READ_TEXT = 32 * 1024 * 1024;

/** Changes when another connection than this one has written to the store. */
const outsideWrites = prepared((db: Database) => ({
  compile: () => sql<{ data_version: number }>`PRAGMA data_version`.compile(db),
}));

/** A record and the MAC of its row. */
interface Sealed {
  readonly record: RecordText;
  readonly mac: Uint8Array;
}

/**
 * The records of a store. Each row that is read has its own MAC, and is the one that was written last: a row that is put
 * back or taken away is refused, not believed. What was read that way is remembered while nobody else writes to the store;
 * when somebody does, every row is read and verified again.
 */
export class Rows {
  readonly set: RecordSet;
  readonly #macKey: Uint8Array;
  readonly #known = new Map<string, Sealed | 'none'>();
  #knownText = 0;
  #outsideWrites: number | undefined;

  constructor(macKey: Uint8Array, set: RecordSet) {
    this.#macKey = macKey;
    this.set = set;
  }

  /** Forgets what was read when another connection has written since; before reading, and under the lock. */
  async lookAround(db: Database): Promise<void> {
    const version = (await outsideWrites(db)).rows[0]?.data_version;
    if (version !== undefined && version === this.#outsideWrites) return;
    this.#outsideWrites = version;
    this.#forget();
  }

  /** @throws Refusal `record-forged`, `record-stale` */
  async read(db: Database, ref: RecordRef): Promise<RecordText | undefined> {
    return (await this.#read(db, ref))?.record;
  }

  /**
   * Records of a kind in the order of their ids.
   * @throws Refusal `record-forged`, `record-stale`; for a row that is missing in the middle of a kind of more than
   * 10 000 only with the kind's last page
   */
  async list(
    db: Database,
    kind: string,
    { after = '', limit }: { readonly after?: string; readonly limit: number },
  ): Promise<readonly RecordText[]> {
    const most = Math.min(limit, MAX_LIST);
    const { rows } = await page(db, kind, after, most);
    const records = rows.map((row) => this.#open(row).record);
    const known = this.set.count(kind);
    if (rows.length < most || known <= COUNTED_ALWAYS) {
      const found = (await count(db, kind)).rows[0]?.rows;
      if (found !== known)
        refuse('record-stale', 'the store has not as many rows as were written', {
          kind,
          found: found ?? 0,
          known,
        });
    }
    return records;
  }

  /**
   * Writes a record's next version, under the head's lock.
   * @param leaf index of the leaf that writes it
   */
  async write(db: Database, ref: RecordRef, body: JsonObject, leaf: bigint): Promise<void> {
    const before = await this.#read(db, ref);
    const version = (before?.record.version ?? 0) + 1;
    const row = { kind: ref.kind, id: ref.id, version, body: canonicalJson(body), leaf: String(leaf) };
    const mac = rowMac(this.#macKey, row);
    this.#known.delete(nameOf(ref));
    await upsert(db, row.kind, row.id, row.version, row.body, row.leaf, mac);
    this.set.wrote({ kind: row.kind, id: row.id, version, before: before?.mac, mac });
  }

  async #read(db: Database, { kind, id }: RecordRef): Promise<Sealed | undefined> {
    const ref = { kind, id };
    const known = this.#known.get(nameOf(ref));
    if (known !== undefined) return known === 'none' ? undefined : known;
    const [row] = (await one(db, kind, id)).rows;
    const found = row === undefined ? undefined : this.#open(row);
    if (found === undefined) this.set.expect(ref, undefined);
    // What the commit under way has written is remembered when it is read after it.
    if (!this.set.isWritten(ref)) this.#remember(nameOf(ref), found);
    return found;
  }

  #remember(name: string, found: Sealed | undefined): void {
    this.#knownText += name.length + (found?.record.text.length ?? 0);
    if (this.#known.size >= MAX_READ || this.#knownText > MAX_READ_TEXT) this.#forget();
    this.#known.set(name, found ?? 'none');
  }

  #forget(): void {
    this.#known.clear();
    this.#knownText = 0;
  }

  /** A row as a record, after its MAC and after what was written last. */
  #open({ mac: bytes, ...row }: RecordsTable): Sealed {
    const mac = Uint8Array.from(bytes);
    checkRowMac(this.#macKey, row, mac);
    this.set.expect(row, mac);
    const { kind, id, version, leaf, body: text } = row;
    return { record: { kind, id, version, leaf, text }, mac };
  }
}

const nameOf = ({ kind, id }: RecordRef): string => `${kind}\0${id}`;
