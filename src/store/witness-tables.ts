import type { Kysely } from 'kysely';
import type { WitnessedHead } from '../audit/index.ts';
import { Refusal, fromHex, toHex } from '../base/index.ts';
import { checkRowMac, rowMac } from './record-mac.ts';
import type { SealedRow } from './record-mac.ts';
import type { Database, WitnessedTable } from './schema.ts';

/*
 * What witnessing remembers. It is beside the log and not in it: a leaf for each cosignature would let two verifiers
 * that witness each other grow their logs for ever.
 */

/** Step of the schema: heads that this verifier cosigned for others, and the newest head of its own that others cosigned. */
export async function makeWitnessTables(db: Kysely<never>): Promise<void> {
  await db.schema
    .createTable('witnessed')
    .addColumn('origin', 'text', (c) => c.primaryKey())
    .addColumn('version', 'integer', (c) => c.notNull())
    .addColumn('size', 'text', (c) => c.notNull())
    .addColumn('root', 'text', (c) => c.notNull())
    .addColumn('mac', 'blob', (c) => c.notNull())
    .execute();
  await db.schema
    .createTable('cosigned')
    .addColumn('id', 'integer', (c) => c.primaryKey())
    .addColumn('size', 'bigint', (c) => c.notNull())
    .addColumn('checkpoint', 'text', (c) => c.notNull())
    .execute();
}

/** The head of another log that was cosigned last. @throws Refusal `record-forged` */
export async function readWitnessed(
  db: Database,
  macKey: Uint8Array,
  origin: string,
): Promise<WitnessedHead | undefined> {
  const row = await db.selectFrom('witnessed').selectAll().where('origin', '=', origin).executeTakeFirst();
  return row === undefined ? undefined : openWitnessed(macKey, row);
}

/** A row as a head, after its MAC. @throws Refusal `record-forged` */
export function openWitnessed(macKey: Uint8Array, row: WitnessedTable): WitnessedHead {
  checkRowMac(macKey, sealed(row), Uint8Array.from(row.mac));
  return { size: BigInt(row.size), root: fromHex(row.root) };
}

/**
 * Stores the head that is about to be cosigned, if the stored one is still the one that was judged: one transaction,
 * durable when it returns. Two requests at a time never roll a witness back (c2sp.org/tlog-witness).
 * @param before what was judged; undefined: nothing was stored
 * @returns false when the stored head moved meanwhile: nothing was changed, nothing may be signed
 */
export async function storeWitnessed(
  db: Database,
  macKey: Uint8Array,
  { origin, before, next }: WitnessStep,
): Promise<boolean> {
  return await db.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom('witnessed')
      .selectAll()
      .where('origin', '=', origin)
      .executeTakeFirst();
    const found = row === undefined ? undefined : openWitnessed(macKey, row);
    if (!isSame(found, before)) return false;
    const plain = {
      origin,
      version: (row?.version ?? 0) + 1,
      size: String(next.size),
      root: toHex(next.root),
    };
    const mac = rowMac(macKey, sealed(plain));
    await transaction
      .insertInto('witnessed')
      .values({ ...plain, mac })
      .onConflict((conflict) => conflict.column('origin').doUpdateSet({ ...plain, mac }))
      .execute();
    return true;
  });
}

/**
 * Takes what another store of this verifier cosigned later than this one remembers: a witness never goes back because
 * its store does. Rows that its key didn't make say nothing.
 * @param from nothing of it is changed
 */
export async function takeLaterWitnessed(db: Database, from: Database, macKey: Uint8Array): Promise<void> {
  for (const row of await from.selectFrom('witnessed').selectAll().execute()) {
    const theirs = madeBy(macKey, row);
    if (theirs === undefined) continue;
    const own = await readWitnessed(db, macKey, row.origin);
    if (own !== undefined && own.size >= theirs.size) continue;
    const { origin, ...rest } = row;
    await db
      .insertInto('witnessed')
      .values({ origin, ...rest })
      .onConflict((conflict) => conflict.column('origin').doUpdateSet(rest))
      .execute();
  }
}

function madeBy(macKey: Uint8Array, row: WitnessedTable): WitnessedHead | undefined {
  try {
    return openWitnessed(macKey, row);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return undefined;
  }
}

/** One step of a witness: from the head that was judged to the one that is cosigned. */
export interface WitnessStep {
  readonly origin: string;
  readonly before: WitnessedHead | undefined;
  readonly next: WitnessedHead;
}

/** The newest checkpoint of the own log that a quorum cosigned, with its cosignatures. */
export async function readCosigned(db: Database): Promise<string | undefined> {
  const row = await db.selectFrom('cosigned').select('checkpoint').executeTakeFirst();
  return row?.checkpoint;
}

/** Keeps a cosigned checkpoint, unless a larger one is kept. */
export async function keepCosigned(db: Database, size: bigint, checkpoint: string): Promise<void> {
  const row = { size: Number(size), checkpoint };
  await db
    .insertInto('cosigned')
    .values({ id: 1, ...row })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row).where('cosigned.size', '<=', row.size))
    .execute();
}

function isSame(a: WitnessedHead | undefined, b: WitnessedHead | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && toHex(a.root) === toHex(b.root);
}

function sealed({ origin, version, size, root }: Omit<WitnessedTable, 'mac'>): SealedRow {
  return { kind: 'witnessed', id: origin, version, body: `${size} ${root}`, leaf: '' };
}
