import { refuse } from '../base/index.ts';
import { isBusy, openDatabase } from './database.ts';

/** A store that nobody else may open to write, until it is released or this process ends. */
export interface StoreLock {
  readonly release: () => void;
}

/**
 * Takes a store for whoever writes it: the running verifier, or a restore that puts another file in its place. The lock
 * is SQLite's on an empty file beside the store, so the kernel drops it with the process, and it is there as well when
 * the store itself is damaged or is being replaced.
 * @throws Refusal `store-in-use`
 */
export function lockStore(file: string): StoreLock {
  return lockFile(file) ?? refuse('store-in-use', 'another process has the store open to write');
}

/** The same for any file that one process replaces; undefined while another one has it. */
export function lockFile(file: string): StoreLock | undefined {
  const lock = openDatabase(`${file}.lock`);
  try {
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    return undefined;
  }
  return {
    release: () => {
      lock.close();
    },
  };
}
