import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { refuse } from '../base/index.ts';
import type { InitFile } from './initialize.ts';

/**
 * Writes the files of a new installation: directories 0700, each file new and synced. Nothing is ever overwritten; when
 * one can't be written, those that were are removed.
 * @throws Refusal `init-exists` when something of an installation is there
 */
export function writeInstallation(directory: string, files: readonly InitFile[]): void {
  const present = files.map((file) => file.path).find((name) => existsSync(path.join(directory, name)));
  if (present !== undefined)
    refuse('init-exists', 'there is an installation in the directory: nothing was written', {
      directory,
      present,
    });
  if (
    existsSync(directory) &&
    readdirSync(directory).some((name) => ['keys', 'data', 'offline'].includes(name))
  )
    refuse('init-exists', 'there is a part of an installation in the directory: nothing was written', {
      directory,
    });
  const written: string[] = [];
  try {
    for (const file of files) {
      const target = path.join(directory, file.path);
      mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 });
      writeNewFile(target, file.content, file.mode);
      written.push(target);
    }
    mkdirSync(path.join(directory, 'data'), { mode: 0o700 });
  } catch (error) {
    for (const target of written) rmSync(target, { force: true });
    throw error;
  }
}

/** Writes a file that must not exist yet; it is on disk when this returns. */
export function writeNewFile(file: string, content: string | Uint8Array, mode: number): void {
  const descriptor = openSync(file, 'wx', mode);
  try {
    if (typeof content === 'string') writeSync(descriptor, content);
    else writeSync(descriptor, content);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
