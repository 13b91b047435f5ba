import { accessSync, closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { refuse } from '../base/index.ts';
import { readSecretFile } from '../config/secret-files.ts';
import { UsageError } from './errors.ts';

/**
 * Reads a file that the caller named.
 * @param maxBytes a larger file is refused before it is read
 * @throws UsageError when it can't be opened (exit 2); Refusal `malformed` when it is too large (exit 1)
 */
export function readInput(file: string, structure: string, maxBytes: number): Uint8Array {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    throw new UsageError(`can't open ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  try {
    const status = fstatSync(descriptor);
    // Before its size, which for a directory says how many names it had.
    if (status.isDirectory()) throw new UsageError(`${file} is a directory`);
    const { size } = status;
    if (size > maxBytes) {
      refuse('malformed', `${structure}: ${String(size)} bytes, over the limit of ${String(maxBytes)}`, {
        structure,
      });
    }
    return new Uint8Array(readFileSync(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Reads a file with a secret that the caller named, which must be theirs alone.
 * @throws UsageError when it can't be opened (exit 2); Refusal `secret-file` when others can use it (exit 1)
 */
export function readSecretInput(file: string, maxBytes?: number): Uint8Array {
  try {
    accessSync(file, constants.R_OK);
  } catch (error) {
    throw new UsageError(`can't open ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return readSecretFile(file, maxBytes);
}
