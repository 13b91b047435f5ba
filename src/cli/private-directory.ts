import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { UsageError } from './errors.ts';

/**
 * Does something with a directory beside `file` that only this user can enter, and that is gone afterwards: what is made
 * in it can get the name `file` in one step.
 * @throws UsageError when there can't be such a directory
 */
export async function withDirectoryBeside<T>(
  file: string,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  let directory: string;
  try {
    directory = mkdtempSync(`${file}.`);
  } catch (error) {
    throw new UsageError(`can't write ${path.dirname(file)}: ${messageOf(error)}`);
  }
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
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
