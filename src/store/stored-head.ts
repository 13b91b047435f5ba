import { existsSync } from 'node:fs';
import { parseCheckpoint, verifyCheckpoint } from '../audit/index.ts';
import type { Checkpoint, VerifierKey } from '../audit/index.ts';
import { Refusal, refuse, utf8 } from '../base/index.ts';
import type { Database } from './schema.ts';
import { isBusy, isSqliteError } from './database.ts';
import { openSqlite } from './sqlite.ts';

/** How long the log of a store is, as far as it can be read. */
export type StoredHead =
  | { readonly state: 'none' }
  | {
      readonly state: 'signed';
      readonly head: Checkpoint;
      readonly checkpoint: string;
      readonly witnessed: number;
    }
  | { readonly state: 'unreadable'; readonly reason: string };

/**
 * The signed head of a store that nobody has open, and that is one file when this returns. A damaged store is an
 * answer, not an error.
 * @throws Refusal `store-in-use` when somebody has it open all the same
 */
export async function readStoredHead(file: string, logKeys: readonly VerifierKey[]): Promise<StoredHead> {
  if (!existsSync(file)) return { state: 'none' };
  try {
    const db = openSqlite(file, 'DELETE');
    try {
      const row = await db.selectFrom('head').select('checkpoint').executeTakeFirst();
      if (row === undefined) return await withoutHead(db);
      const checkpoint = parseCheckpoint(utf8(row.checkpoint));
      verifyCheckpoint(checkpoint, logKeys);
      const others = await db.selectFrom('witnessed').select('origin').execute();
      const { claimed: head } = checkpoint;
      return { state: 'signed', head, checkpoint: row.checkpoint, witnessed: others.length };
    } finally {
      await db.destroy();
    }
  } catch (error) {
    if (isBusy(error)) refuse('store-in-use', 'another process has the database open');
    if (error instanceof Refusal) return { state: 'unreadable', reason: error.reason };
    if (isSqliteError(error)) return { state: 'unreadable', reason: error.message };
    throw error;
  }
}

/** A store that never had a head has no entry either. */
async function withoutHead(db: Database): Promise<StoredHead> {
  const leaf = await db.selectFrom('leaves').select('position').limit(1).executeTakeFirst();
  return leaf === undefined
    ? { state: 'none' }
    : { state: 'unreadable', reason: 'it has entries but no head' };
}
