import { parseCheckpoint } from '../audit/index.ts';
import type { Checkpoint, TileReader } from '../audit/index.ts';
import { Refusal, refuse, utf8 } from '../base/index.ts';
import { checkStore } from './check-store.ts';
import type { StoreKeys } from './check-store.ts';
import { dropDamagedBodies } from './damaged-bodies.ts';
import { readHead } from './head.ts';
import { requireOwnTables } from './own-tables.ts';
import type { Database } from './schema.ts';
import { isSqliteError } from './database.ts';
import { openSqlite } from './sqlite.ts';
import { tileStore } from './tile-store.ts';

/** A copy of a store of which everything was checked. */
export interface SoundCopy {
  /** The signed head, as text and as what it says. */
  readonly checkpoint: string;
  readonly head: Checkpoint;
  readonly records: number;
  readonly epoch: string;
  /** How many other logs this verifier had cosigned as their witness. */
  readonly witnessed: number;
  /** Digests of kept bodies that were taken out of it. */
  readonly dropped: readonly string[];
}

/** How a copy is examined. */
export interface Examination {
  /** Told of rows looked at. */
  readonly onProgress: (rows: number) => void;
  /** Takes out kept bodies that are not what their digests say, and doesn't refuse the copy for them. */
  readonly dropDamaged: boolean;
}

/**
 * Checks a copy as a whole, as {@link checkStore} does, and that it has the tables of a store and a signed head.
 * @param file a private copy: SQLite writes beside it
 * @param andThen what else is to be asked of it while it is open
 * @throws Refusal `store-backup` when it is not a sound store of this verifier, `store-version`
 */
export async function examineCopy<T>(
  file: string,
  keys: StoreKeys,
  examination: Examination,
  andThen: (copy: SoundCopy, tiles: TileReader) => Promise<T>,
): Promise<T> {
  try {
    const db = openSqlite(file, 'DELETE');
    try {
      return await andThen(await examine(db, keys, examination), tileStore(db));
    } finally {
      await db.destroy();
    }
  } catch (error) {
    if (error instanceof Refusal || !isSqliteError(error)) throw error;
    return refuse('store-backup', `the copy is not a whole database: ${error.message}`);
  }
}

async function examine(
  db: Database,
  keys: StoreKeys,
  { onProgress, dropDamaged }: Examination,
): Promise<SoundCopy> {
  await requireOwnTables(db);
  const dropped = dropDamaged ? await dropDamagedBodies(db, onProgress) : [];
  const { findings, records, epoch } = await checkStore(db, keys, onProgress);
  const [first] = findings;
  if (first !== undefined)
    refuse('store-backup', `the copy is not a sound store of this verifier: ${first.reason}`, {
      check: first.check,
      findings: findings.length,
    });
  const head = await readHead(db);
  if (head === undefined || epoch === null)
    return refuse('store-backup', 'the copy is of a store that has no log yet');
  const { claimed } = parseCheckpoint(utf8(head.checkpoint));
  const others = await db.selectFrom('witnessed').select('origin').execute();
  return { checkpoint: head.checkpoint, head: claimed, records, epoch, witnessed: others.length, dropped };
}
