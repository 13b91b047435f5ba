import { isDeepStrictEqual } from 'node:util';
import { sql } from 'kysely';
import { refuse } from '../base/index.ts';
import { SCHEMA_VERSION, migrate } from './migrations.ts';
import type { Database } from './schema.ts';
import { openSqlite } from './sqlite.ts';

interface MasterRow {
  readonly type: string;
  readonly name: string;
  readonly sql: string | null;
}

/**
 * A file from elsewhere has exactly the tables that this program makes: MACs say nothing of a trigger that changes rows
 * later, or of a view that stands for a table.
 * @throws Refusal `store-version`, `store-backup`; SQLite's errors for what is no store
 */
export async function requireOwnTables(db: Database): Promise<void> {
  const row = await db.selectFrom('meta').select('value').where('name', '=', 'schema').executeTakeFirst();
  if (row?.value !== String(SCHEMA_VERSION))
    refuse('store-version', 'the copy has another version of the tables than this program', {
      copy: row?.value ?? null,
      program: SCHEMA_VERSION,
    });
  const own = openSqlite(':memory:');
  try {
    await migrate(own);
    if (!isDeepStrictEqual(await tablesOf(db), await tablesOf(own)))
      refuse('store-backup', 'the copy has tables, views or triggers that are not of a store');
  } finally {
    await own.destroy();
  }
}

async function tablesOf(db: Database): Promise<readonly MasterRow[]> {
  const { rows } =
    await sql<MasterRow>`SELECT type, name, sql FROM sqlite_master ORDER BY type, name`.execute(db);
  return rows.map(({ type, name, sql: made }) => ({ type, name, sql: made }));
}
