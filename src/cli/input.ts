import { accessSync, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { concat, refuse } from '../base/index.ts';
import { readSecretFile } from '../config/secret-files.ts';
import { UsageError } from './errors.ts';

/** Bytes that are read at once. */
const CHUNK = 64 * 1024;

/**
 * Reads a file that the caller named, or a pipe or device.
 * @param maxBytes more are refused: of a file before it is read, of anything else when they have come
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
    if (size > maxBytes) tooLarge(structure, `${String(size)} bytes`, maxBytes);
    // A pipe has no size, and some devices no end.
    return readAtMost(descriptor, maxBytes) ?? tooLarge(structure, 'more bytes', maxBytes);
  } finally {
    closeSync(descriptor);
  }
}

/** All that there is to read; undefined when it is more than `maxBytes`. */
function readAtMost(descriptor: number, maxBytes: number): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (let left = maxBytes + 1; left > 0;) {
    const part = new Uint8Array(Math.min(left, CHUNK));
    const count = readSync(descriptor, part);
    if (count === 0) return concat(parts);
    parts.push(part.slice(0, count));
    left -= count;
  }
  return undefined;
}

function tooLarge(structure: string, bytes: string, maxBytes: number): never {
  refuse('malformed', `${structure}: ${bytes}, over the limit of ${String(maxBytes)}`, { structure });
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
