import { closeSync, fsyncSync, linkSync, openSync } from 'node:fs';
import path from 'node:path';
import { refuse } from '../base/index.ts';
import { isDamage, openDatabase } from './database.ts';

/**
 * Writes a store, as it is at one moment, to a new file that only its owner can read. The verifier may go on writing
 * meanwhile: of that the copy has nothing. It may not be on disk yet: see {@link publishFile}.
 * @throws Refusal `store-damaged`; Error `EEXIST` when there is such a file
 */
export function copyStore(store: string, file: string): void {
  // VACUUM takes an empty file for a new one; made here, it is nobody else's at any moment.
  closeSync(openSync(file, 'wx', 0o600));
  const database = openDatabase(store);
  try {
    database.exec(
      `PRAGMA trusted_schema = OFF; PRAGMA busy_timeout = 5000; VACUUM INTO '${file.replaceAll("'", "''")}'`,
    );
  } catch (error) {
    if (!isDamage(error)) throw error;
    refuse('store-damaged', `the database file is damaged: ${error.message}`);
  } finally {
    database.close();
  }
}

/**
 * Gives a whole file its name: on disk before it has it, and never in the place of another.
 * @throws Error `EEXIST` when there is such a file
 */
export function publishFile(temporary: string, file: string): void {
  syncPath(temporary);
  linkSync(temporary, file);
  syncPath(path.dirname(file));
}

/** Waits until a file's content, or a directory's names, are on disk. */
export function syncPath(file: string): void {
  const descriptor = openSync(file, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
