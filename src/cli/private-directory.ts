import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  lstatSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { lockFile } from '../store/lock.ts';
import type { StoreLock } from '../store/lock.ts';
import { UsageError } from './errors.ts';

/** What the name of such a directory ends with, so that one whose maker was killed is found. */
const MAKING = '.sealgate-making';
/** In it, held by the kernel for as long as its maker lives. */
const MAKER = 'maker';

/**
 * Does something with a directory beside `file` that only this user can enter, and that is gone afterwards: what is made
 * in it can get the name `file` in one step. What one that was killed left there is removed before (not a directory that was empty yet).
 * @throws UsageError when there can't be such a directory, or another command is making the same file
 */
export async function withDirectoryBeside<T>(
  file: string,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const { directory, maker } = makeBeside(file);
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
    maker?.release();
  }
}

/** A directory that has its name only when its maker has the lock in it: without, another command would take it for left. */
function makeBeside(file: string): { readonly directory: string; readonly maker: StoreLock | undefined } {
  const directory = `${file}${MAKING}`;
  let begun: string | undefined;
  try {
    removeLeftovers(path.dirname(file));
    begun = mkdtempSync(`${file}.`); // 0700
    const maker = lockFile(path.join(begun, MAKER));
    renameSync(begun, directory);
    return { directory, maker };
  } catch (error) {
    if (begun !== undefined) rmSync(begun, { recursive: true, force: true });
    if (error instanceof Error && 'code' in error && error.code === 'ENOTEMPTY')
      throw new UsageError(`another command is making ${file}: ${directory} is its`);
    throw new UsageError(`can't write ${path.dirname(file)}: ${messageOf(error)}`);
  }
}

/** Removes what commands of this user that were killed left in a directory: stores in the clear. Those at work go on. */
export function removeLeftovers(parent: string): void {
  for (const name of readdirSync(parent)) {
    const directory = path.join(parent, name);
    if (!name.endsWith(MAKING) || !isOwnDirectory(directory)) continue;
    const maker = lockFile(path.join(directory, MAKER));
    if (maker === undefined) continue;
    rmSync(directory, { recursive: true, force: true });
    maker.release();
  }
}

/** Never through a link, and nothing that somebody else put there under such a name. */
function isOwnDirectory(directory: string): boolean {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.();
}

/** Copies a file that the caller named to a new one. @throws UsageError when it can't be opened or is no file */
export async function copyInput(file: string, to: string): Promise<void> {
  try {
    if (!statSync(file).isFile()) throw new UsageError(`${file} is not a file`);
    await pipeline(createReadStream(file), createWriteStream(to, { flags: 'wx', mode: 0o600 }));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`can't copy ${file}: ${messageOf(error)}`);
  }
}

/** SHA-256 of a file of any size: lowercase hex. */
export async function fileSha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
