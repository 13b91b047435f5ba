import { existsSync, linkSync, renameSync } from 'node:fs';
import path from 'node:path';
import { syncPath } from './copy-store.ts';

/** Files that SQLite may leave beside a database, and would read into another one of its name. */
const BESIDE = ['-wal', '-shm', '-journal'] as const;

/**
 * Puts a whole store in the place of another, in one step: there is one at every moment. The one before stays, under
 * `aside`. Whoever calls this has the store's lock (lock.ts).
 * @returns whether there was one before
 * @throws Error `EEXIST` when there is a file `aside`; then nothing was changed
 */
export function replaceStore(next: string, store: string, aside: string): boolean {
  syncPath(next);
  const before = existsSync(store);
  if (before) linkSync(store, aside);
  for (const ending of BESIDE) if (existsSync(store + ending)) renameSync(store + ending, aside + ending);
  renameSync(next, store);
  syncPath(path.dirname(store));
  return before;
}
