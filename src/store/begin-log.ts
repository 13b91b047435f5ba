import { sql } from 'kysely';
import type { Change, RecordRef } from '../audit/ledger.ts';
import { refuse } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import { openStore } from './embedded.ts';
import type { OnceRow } from './record-set.ts';
import { recordOf } from './record-text.ts';
import type { Database } from './schema.ts';
import type { SequencerKeys } from './sign-head.ts';
import { StoreMemory } from './store-memory.ts';

/** What a store knows besides its log. */
export interface StoreContent {
  readonly records: readonly (RecordRef & { readonly body: JsonObject })[];
  /** Ids that work once and were used. */
  readonly once: readonly OnceRow[];
  /** Unix ms of the newest leaf. */
  readonly time: number;
}

/**
 * Everything that a store knows, each row compared with its MAC and all of them with the head.
 * @throws Refusal `store-head`, `record-stale`, `record-forged`
 */
export async function readContent(db: Database, macKey: Uint8Array): Promise<StoreContent> {
  const meta = await db.selectFrom('meta').selectAll().execute();
  const value = (name: string): string =>
    meta.find((row) => row.name === name)?.value ?? refuse('store-head', 'the store has no name');
  const memory = await StoreMemory.open(db, macKey, { epoch: value('epoch'), origin: value('origin') });
  const refs = await db.selectFrom('records').select(['kind', 'id']).orderBy('kind').orderBy('id').execute();
  const records: StoreContent['records'][number][] = [];
  for (const ref of refs) {
    const found = await memory.rows.read(db, ref);
    if (found !== undefined) records.push({ ...ref, body: recordOf(found).body });
  }
  const once = await db.selectFrom('once').selectAll().orderBy('kind').orderBy('id').execute();
  return { records, once, time: memory.head?.time ?? 0 };
}

/** A log that begins in a store that had another one. */
export interface NewLog {
  readonly keys: SequencerKeys;
  readonly clock: Clock;
  readonly epoch: string;
  /** In their order; the first one's leaf is the log's first. */
  readonly changes: readonly Change[];
}

/** Everything that is made by a log's entries, or says what they are. */
const OF_A_LOG = ['records', 'once', 'leaves', 'tiles', 'head', 'journal', 'lineage', 'cosigned'] as const;
const BATCH = 256;

/** A log that was begun. */
export interface BegunLog {
  /** Signed: of all of its entries. */
  readonly checkpoint: string;
  /** Its first entry. */
  readonly first: Uint8Array;
}

/**
 * Takes the log out of a private copy of a store, and begins another one. Kept bodies stay, and what was cosigned for
 * other logs. Nothing may be believed of the file when this fails.
 * @throws Refusal of a change that doesn't hold
 */
export async function beginLog(db: Database, { keys, clock, epoch, changes }: NewLog): Promise<BegunLog> {
  await db.transaction().execute(async (transaction) => {
    for (const table of OF_A_LOG) await sql`DELETE FROM ${sql.table(table)}`.execute(transaction);
    const meta = { epoch, origin: keys.signer.key.name };
    for (const [name, value] of Object.entries(meta))
      await transaction.updateTable('meta').set({ value }).where('name', '=', name).execute();
  });
  const store = await openStore(db, keys, clock, epoch);
  for (let at = 0; at < changes.length; at += BATCH)
    for (const { ok, denied } of await store.commit(changes.slice(at, at + BATCH)))
      if (!ok) refuse('store-backup', `the backup can’t go on in another log: ${denied?.reason ?? 'denied'}`);
  const [head, [first]] = [await store.head(), await store.leaves(0, 1)];
  if (head === undefined || first === undefined) return refuse('store-head', 'the store has no head');
  // What was taken out is not to stay in the file's free pages.
  await sql`VACUUM`.execute(db);
  return { checkpoint: head.checkpoint, first };
}
