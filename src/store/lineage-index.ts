import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import { entryForFiling, executionOf, fileEntry, indexKey, isOrigin } from '../lineage/index.ts';
import type { EarlierEntries, Filing, KnownOrigin, LineageSource } from '../lineage/index.ts';
import { prepared } from './prepared.ts';
import type { Database } from './schema.ts';

/*
 * The lineage index: made from the log, entry by entry, in the transaction that appends them. It decides nothing and is
 * believed by nobody (docs/LINEAGE.md), so its rows have no MAC; `store rebuild-lineage` makes it again.
 */

/** The table that is written: the index itself, or the one that a rebuild compares it with. */
export type LineageTable = 'lineage' | 'lineage_rebuilt';

/** Step of the schema: the index, empty. The store fills it when it is opened (lineage-rebuild.ts). */
export async function makeLineageTable(db: Kysely<never>): Promise<void> {
  await db.schema
    .createTable('lineage')
    .addColumn('key', 'text', (c) => c.notNull())
    .addColumn('node', 'integer', (c) => c.notNull())
    .addColumn('leaf', 'integer', (c) => c.notNull())
    .addPrimaryKeyConstraint('lineage_key', ['key', 'node'])
    // The rows are the key: a third less to write.
    .modifyEnd(sql`without rowid`)
    .execute();
}

/**
 * Files entries as they are appended; within the transaction that appends them, after they are in the log.
 * @param leaves entries from position `start` on, without a gap
 */
export async function fileLeaves(
  db: Database,
  start: number,
  leaves: readonly Uint8Array[],
  table: LineageTable = 'lineage',
): Promise<void> {
  const batch = new Map<string, KnownOrigin>();
  const earlier: EarlierEntries = {
    origin: async (id) => batch.get(id) ?? (await storedOrigin(db, id, table)),
  };
  const rows: Filing[] = [];
  for (const [i, data] of leaves.entries()) {
    const leaf = entryForFiling(data);
    // What is no entry of today's kinds has no lineage; whether the log is sound is for others to say.
    if (leaf?.index !== String(start + i)) continue;
    const filed = await fileEntry(leaf, earlier);
    rows.push(...filed);
    if (isOrigin(leaf) && filed.length > 0)
      batch.set(executionOf(leaf), { position: start + i, parent: leaf.parent });
  }
  await insertRows(db, rows, table);
}

/** The statements over each table. */
const STATEMENTS: Readonly<Record<LineageTable, ReturnType<typeof statements>>> = {
  lineage: statements('lineage'),
  lineage_rebuilt: statements('lineage_rebuilt'),
};

function statements(table: LineageTable) {
  return {
    origin: prepared((db: Database, key: string) => ({
      compile: () =>
        sql<{ node: number; data: Uint8Array }>`
          SELECT filed.node, leaves.data FROM ${sql.table(table)} filed
          JOIN leaves ON leaves.position = filed.node WHERE filed.key = ${key} ORDER BY filed.node LIMIT 1`.compile(
          db,
        ),
    })),
    // One statement for all rows of a commit: their number is not part of its text.
    insert: prepared((db: Database, rows: string) => ({
      compile: () =>
        sql`
          INSERT OR IGNORE INTO ${sql.table(table)} (key, node, leaf)
          SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
          FROM json_each(${rows})`.compile(db),
    })),
  };
}

async function storedOrigin(
  db: Database,
  executionId: string,
  table: LineageTable,
): Promise<KnownOrigin | undefined> {
  const key = indexKey({ kind: 'execution', id: executionId });
  const [row] = (await STATEMENTS[table].origin(db, key)).rows;
  const leaf = row === undefined ? undefined : entryForFiling(Uint8Array.from(row.data));
  if (row === undefined || leaf === undefined || !isOrigin(leaf)) return undefined;
  // A row that was forged must not lead to rows that look right.
  return executionOf(leaf) === executionId ? { position: row.node, parent: leaf.parent } : undefined;
}

async function insertRows(db: Database, rows: readonly Filing[], table: LineageTable): Promise<void> {
  if (rows.length === 0) return;
  await STATEMENTS[table].insert(db, JSON.stringify(rows.map(({ key, node, leaf }) => [key, node, leaf])));
}

/** Index and entries as questions are answered from them. */
export function lineageSource(db: Database): LineageSource {
  return {
    rows: async (key, { after, below, limit, newest }) =>
      await db
        .selectFrom('lineage')
        .select(['node', 'leaf'])
        .where('key', '=', key)
        .where('node', '>', after)
        .where('node', '<', below)
        .where('leaf', '<', below)
        .orderBy('node', newest === true ? 'desc' : 'asc')
        .limit(limit)
        .execute(),
    entry: async (position) => {
      const row = await db
        .selectFrom('leaves')
        .select('data')
        .where('position', '=', position)
        .executeTakeFirst();
      return row === undefined ? undefined : Uint8Array.from(row.data);
    },
  };
}
