import { sql } from 'kysely';
import { fileLeaves } from './lineage-index.ts';
import type { Database } from './schema.ts';

/** Grows when an entry is filed otherwise than before: then the index is made again when the store is opened. */
export const LINEAGE_VERSION = '1';
const META = 'lineage';
const BATCH = 512;

/** What a rebuild found. */
export interface LineageRebuilt {
  readonly entries: number;
  readonly rows: number;
  /** Rows of the index that the log doesn't lead to, and were taken away. */
  readonly removed: number;
  /** Rows that the log leads to and that were not there. */
  readonly added: number;
}

/** Fills the index from the log where this program’s has not been filled: after an update of either. */
export async function ensureLineage(db: Database): Promise<void> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', META).executeTakeFirst();
  if (row?.value === LINEAGE_VERSION) return;
  await rebuildLineage(db);
}

/**
 * Makes the index again from the log and corrects what differs. The new one is built beside it, without a lock; the
 * comparison and the correction are one transaction, short when the index was right.
 * @param onProgress told of entries read
 */
export async function rebuildLineage(
  db: Database,
  onProgress: (entries: number) => void = () => undefined,
): Promise<LineageRebuilt> {
  await sql`DROP TABLE IF EXISTS temp.lineage_rebuilt`.execute(db);
  await sql`
    CREATE TEMP TABLE lineage_rebuilt (key text NOT NULL, node integer NOT NULL, leaf integer NOT NULL,
    PRIMARY KEY (key, node)) WITHOUT ROWID`.execute(db);
  try {
    const before = await fileFrom(db, 0, onProgress);
    return await db.transaction().execute(async (locked) => {
      const entries = await fileFrom(locked, before, onProgress);
      const corrected = await correct(locked);
      const mark = { name: META, value: LINEAGE_VERSION };
      await locked
        .insertInto('meta')
        .values(mark)
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: mark.value }))
        .execute();
      return { entries, ...corrected };
    });
  } finally {
    await sql`DROP TABLE IF EXISTS temp.lineage_rebuilt`.execute(db);
  }
}

/** Files entries from a position to the end of the log, a batch at a time. @returns the position after the last */
async function fileFrom(db: Database, from: number, onProgress: (entries: number) => void): Promise<number> {
  for (let next = from; ;) {
    const rows = await db
      .selectFrom('leaves')
      .selectAll()
      .where('position', '>=', next)
      .orderBy('position')
      .limit(BATCH)
      .execute();
    const [first] = rows;
    if (first === undefined) return next;
    // Up to a gap, if somebody made one: each run is filed at its own place.
    const gap = rows.findIndex(({ position }, i) => position !== first.position + i);
    const run = gap === -1 ? rows : rows.slice(0, gap);
    await fileLeaves(
      db,
      first.position,
      run.map(({ data }) => Uint8Array.from(data)),
      'lineage_rebuilt',
    );
    next = first.position + run.length;
    onProgress(next);
  }
}

/** Only what differs is written. */
async function correct(db: Database): Promise<Omit<LineageRebuilt, 'entries'>> {
  const removed = await sql`
    DELETE FROM lineage WHERE NOT EXISTS (SELECT 1 FROM temp.lineage_rebuilt r
    WHERE r.key = lineage.key AND r.node = lineage.node AND r.leaf = lineage.leaf)`.execute(db);
  const added = await sql`
    INSERT OR IGNORE INTO lineage (key, node, leaf)
    SELECT key, node, leaf FROM temp.lineage_rebuilt`.execute(db);
  const { rows } = await sql<{ n: number }>`SELECT count(*) AS n FROM lineage`.execute(db);
  return {
    rows: rows[0]?.n ?? 0,
    removed: Number(removed.numAffectedRows ?? 0n),
    added: Number(added.numAffectedRows ?? 0n),
  };
}
