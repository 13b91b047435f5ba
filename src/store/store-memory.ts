import { sql } from 'kysely';
import type { RecordRef } from '../audit/ledger.ts';
import { equalBytes, refuse } from '../base/index.ts';
import { HeadSeal, readHead, writeHead } from './head.ts';
import type { Head, StoreName } from './head.ts';
import { Journal } from './journal.ts';
import { prepared, runDirectly } from './prepared.ts';
import { RecordSet } from './record-set.ts';
import { Rows } from './rows.ts';
import type { Database } from './schema.ts';

const PAGE = 5000;

const recordPage = prepared((db: Database, kind: string, id: string) =>
  db
    .selectFrom('records')
    .select(['kind', 'id', 'mac'])
    .where(sql<boolean>`(kind, id) > (${kind}, ${id})`)
    .orderBy('kind')
    .orderBy('id')
    .limit(PAGE),
);
const oncePage = prepared((db: Database, kind: string, id: string) =>
  db
    .selectFrom('once')
    .selectAll()
    .where(sql<boolean>`(kind, id) > (${kind}, ${id})`)
    .orderBy('kind')
    .orderBy('id')
    .limit(PAGE),
);
const endedPage = prepared((db: Database, now: number) =>
  db.selectFrom('once').selectAll().where('expires', '<', now).limit(PAGE),
);
const deleteOnce = prepared((db: Database, kind: string, id: string) =>
  db.deleteFrom('once').where('kind', '=', kind).where('id', '=', id),
);

/** What a change of the store leaves: its next head, and what it was made for. */
interface Changed<T> {
  readonly head: Pick<Head, 'size' | 'time' | 'checkpoint' | 'chain'>;
  readonly result: T;
}

/**
 * What a verifier knows of its store without reading it: the head that it wrote last and what its rows are. Whoever edits
 * the database beside it, while it runs or while it doesn't, is noticed. One verifier writes a store; a second one on the
 * same file finds a head that it didn't write, and stops.
 */
export class StoreMemory {
  readonly rows: Rows;
  readonly journal: Journal;
  readonly #seal: HeadSeal;
  #head: Head | undefined;
  /** The head of a commit of which it isn't known whether it is durable. */
  #attempted: Head | undefined;

  private constructor(macKey: Uint8Array, name: StoreName) {
    this.rows = new Rows(macKey, new RecordSet(macKey));
    this.journal = new Journal(macKey);
    this.#seal = new HeadSeal(macKey, name);
  }

  /**
   * Reads all rows once and compares them with the head.
   * @throws Refusal `store-head`, `record-stale`
   */
  static async open(db: Database, macKey: Uint8Array, name: StoreName): Promise<StoreMemory> {
    const memory = new StoreMemory(macKey, name);
    const { stale, head } = await memory.#load(db);
    if (stale.length > 0)
      refuse(
        'record-stale',
        'rows of the store are not those that were written last: store check says which',
        {
          tables: stale.join(', '),
        },
      );
    memory.#head = head;
    return memory;
  }

  /** Which of the store's tables are not as its head was written with. @throws Refusal `store-head` */
  static async inspect(
    db: Database,
    macKey: Uint8Array,
    name: StoreName,
  ): Promise<{ readonly stale: readonly ('records' | 'once')[]; readonly head: Head | undefined }> {
    return await new StoreMemory(macKey, name).#load(db);
  }

  /**
   * Seals the newest head for another epoch; its rows stay as they are.
   * @throws Refusal `store-head`, `record-stale`
   */
  static async rename(db: Database, macKey: Uint8Array, from: StoreName, to: StoreName): Promise<void> {
    const memory = await StoreMemory.open(db, macKey, from);
    const head = memory.#head ?? refuse('store-head', 'the store has no head');
    await writeHead(db, new HeadSeal(macKey, to).seal(head, memory.rows.set.digests()));
  }

  /**
   * Changes the store in one transaction, under the head's lock, and writes its next head.
   * @param db one connection, which nobody else uses until this has ended
   * @throws Refusal `store-head` when the head is not the one that was written last
   */
  async change<T>(
    db: Database,
    work: (transaction: Database, head: Head | undefined) => Promise<Changed<T>>,
  ): Promise<T> {
    await this.settle(db);
    let attempted: Head | undefined;
    try {
      const result = await db.transaction().execute(async (transaction) => {
        await runDirectly(transaction);
        await this.rows.lookAround(transaction);
        const found = await readHead(transaction);
        if (found !== undefined) this.#seal.check(found);
        if (!isSame(found, this.#head))
          refuse('store-head', 'the head of the store is not the one that was written last');
        const changed = await work(transaction, found);
        attempted = this.#seal.seal(changed.head, this.rows.set.digests());
        await writeHead(transaction, attempted);
        return changed.result;
      });
      this.#end(true, attempted);
      return result;
    } catch (error) {
      // Before its head was written nothing can be durable; afterwards only the store knows.
      if (attempted === undefined) this.#end(false, undefined);
      else this.#attempted = attempted;
      throw error;
    }
  }

  /** Looks what became of a commit whose outcome is unknown. @throws Refusal `store-head` */
  async settle(db: Database): Promise<void> {
    if (this.#attempted === undefined) return;
    const found = await readHead(db);
    if (isSame(found, this.#attempted)) this.#end(true, this.#attempted);
    else if (isSame(found, this.#head)) this.#end(false, undefined);
    else refuse('store-head', 'the head of the store is neither the one before nor the one after a commit');
  }

  /** The head that was written last: what is known to be durable. */
  get head(): Head | undefined {
    return this.#head;
  }

  /** Takes ids away that nothing accepts any more. @throws Refusal `record-stale`, `store-head` */
  async forget(db: Database, now: number): Promise<void> {
    for (let more = this.#head !== undefined; more;) {
      more = await this.change(db, async (transaction, head) => {
        if (head === undefined) return refuse('store-head', 'the store has no head');
        const { rows } = await endedPage(transaction, now);
        for (const row of rows) {
          this.rows.set.forget(row);
          await deleteOnce(transaction, row.kind, row.id);
        }
        return { head, result: rows.length === PAGE };
      });
    }
  }

  #end(durable: boolean, head: Head | undefined): void {
    this.rows.set.endCommit(durable);
    this.#attempted = undefined;
    if (durable) this.#head = head;
  }

  async #load(
    db: Database,
  ): Promise<{ readonly stale: readonly ('records' | 'once')[]; readonly head: Head | undefined }> {
    const head = await readHead(db);
    if (head !== undefined) this.#seal.check(head);
    const { set } = this.rows;
    await everyPage(
      (kind, id) => recordPage(db, kind, id),
      ({ kind, id, mac }) => {
        set.load({ kind, id }, Uint8Array.from(mac));
      },
    );
    await everyPage(
      (kind, id) => oncePage(db, kind, id),
      (row) => {
        set.loadOnce(row);
      },
    );
    if (head !== undefined) return { stale: this.#seal.stale(head, set.digests()), head };
    if (!set.isEmpty()) refuse('store-head', 'the store has rows and no head');
    return { stale: [], head };
  }
}

async function everyPage<R extends RecordRef>(
  read: (kind: string, id: string) => Promise<{ readonly rows: readonly R[] }>,
  each: (row: R) => void,
): Promise<void> {
  let last: RecordRef | undefined = { kind: '', id: '' };
  while (last !== undefined) {
    const { rows } = await read(last.kind, last.id);
    rows.forEach(each);
    last = rows.at(-1);
  }
}

function isSame(a: Head | undefined, b: Head | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalBytes(a.mac, b.mac);
}
