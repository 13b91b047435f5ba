import type { Kysely } from 'kysely';
import { refuse } from '../base/index.ts';
import { makeLineageTable } from './lineage-index.ts';
import type { Database } from './schema.ts';
import { makeWitnessTables } from './witness-tables.ts';

/** One step of the schema; steps are only ever appended, never changed. */
type Step = (db: Kysely<never>) => Promise<void>;

/** Version n of the schema is the first n steps. */
const STEPS: readonly Step[] = [
  async (db) => {
    await db.schema
      .createTable('records')
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('id', 'text', (c) => c.notNull())
      .addColumn('version', 'integer', (c) => c.notNull())
      .addColumn('body', 'text', (c) => c.notNull())
      .addColumn('leaf', 'text', (c) => c.notNull())
      .addColumn('mac', 'blob', (c) => c.notNull())
      .addPrimaryKeyConstraint('records_key', ['kind', 'id'])
      .execute();
    await db.schema
      .createTable('once')
      .addColumn('kind', 'text', (c) => c.notNull())
      .addColumn('id', 'text', (c) => c.notNull())
      .addColumn('expires', 'bigint', (c) => c.notNull())
      .addPrimaryKeyConstraint('once_key', ['kind', 'id'])
      .execute();
    await db.schema
      .createTable('leaves')
      .addColumn('position', 'integer', (c) => c.primaryKey())
      .addColumn('data', 'blob', (c) => c.notNull())
      .execute();
    await db.schema
      .createTable('tiles')
      .addColumn('level', 'integer', (c) => c.notNull())
      .addColumn('position', 'bigint', (c) => c.notNull())
      .addColumn('bytes', 'blob', (c) => c.notNull())
      .addPrimaryKeyConstraint('tiles_key', ['level', 'position'])
      .execute();
    await db.schema
      .createTable('head')
      .addColumn('id', 'integer', (c) => c.primaryKey())
      .addColumn('size', 'bigint', (c) => c.notNull())
      .addColumn('time', 'bigint', (c) => c.notNull())
      .addColumn('checkpoint', 'text', (c) => c.notNull())
      .execute();
    await db.schema
      .createTable('bodies')
      .addColumn('sha256', 'text', (c) => c.primaryKey())
      .addColumn('data', 'blob', (c) => c.notNull())
      .addColumn('keep_until', 'bigint', (c) => c.notNull())
      .execute();
    await db.schema.createIndex('once_expires').on('once').column('expires').execute();
    await db.schema.createIndex('bodies_keep_until').on('bodies').column('keep_until').execute();
  },
  makeWitnessTables,
  makeLineageTable,
  async (db) => {
    for (const column of ['chain', 'records_mac', 'once_mac', 'mac'])
      await db.schema.alterTable('head').addColumn(column, 'blob').execute();
    await db.schema
      .createTable('journal')
      .addColumn('position', 'integer', (c) => c.primaryKey())
      .addColumn('data', 'blob', (c) => c.notNull())
      .execute();
  },
];

/** The newest schema version. */
export const SCHEMA_VERSION = STEPS.length;

/**
 * Brings the store to the newest schema, each step in a transaction of its own.
 * @throws Refusal `store-version` when the store was written by a newer program
 */
export async function migrate(db: Database, upTo = SCHEMA_VERSION): Promise<void> {
  await db.schema
    .createTable('meta')
    .ifNotExists()
    .addColumn('name', 'text', (c) => c.primaryKey())
    .addColumn('value', 'text', (c) => c.notNull())
    .execute();
  const row = await db.selectFrom('meta').select('value').where('name', '=', 'schema').executeTakeFirst();
  const from = Number(row?.value ?? 0);
  if (!Number.isInteger(from) || from > SCHEMA_VERSION) {
    refuse('store-version', 'the store was written by a newer version', {
      store: from,
      program: SCHEMA_VERSION,
    });
  }
  for (let version = from; version < upTo; version++) {
    await db.transaction().execute(async (transaction) => {
      // A step speaks of tables as they were then, not as Schema has them now.
      await STEPS[version]?.(transaction as unknown as Kysely<never>);
      await transaction
        .insertInto('meta')
        .values({ name: 'schema', value: String(version + 1) })
        .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: String(version + 1) }))
        .execute();
    });
  }
}
