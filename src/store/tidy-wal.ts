import { sql } from 'kysely';
import type { Database } from './schema.ts';

/** Commits after which pages are put in their places when nobody waits: 1 000 to 2 000 pages. */
const COMMITS = 32;

/**
 * Puts the pages of the write-ahead log in their places between commits. SQLite would do it as a part of every
 * fifteenth commit or so, whose decisions then waited for the disk several times as long; it still does when nothing
 * else comes to it (`wal_autocheckpoint`). What was committed is durable in the write-ahead log, before and after.
 */
export class WalTidier {
  readonly #db: Database;
  #commits = 0;

  constructor(db: Database) {
    this.#db = db;
  }

  /** A commit was answered. */
  committed(): void {
    this.#commits++;
  }

  /** Nobody waits for the store. When it fails nothing is lost: it is tried again after as many commits. */
  async idle(): Promise<void> {
    if (this.#commits < COMMITS) return;
    this.#commits = 0;
    await sql`PRAGMA wal_checkpoint(PASSIVE)`.execute(this.#db).catch(() => undefined);
  }
}
