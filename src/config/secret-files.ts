import { closeSync, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
import { constants } from 'node:fs';
import { refuse } from '../base/index.ts';

/**
 * Reads a file that holds a secret. Its mode is judged on the opened file, so that nobody swaps it in between; a link
 * is not followed.
 * @throws Refusal `secret-file` when it isn't there, isn't a plain file of this user or root, or others can use it
 */
export function readSecretFile(file: string, maxBytes = 64 * 1024): Uint8Array {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    return refuse('secret-file', `the file can't be opened (${reason})`, { file });
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxBytes)
      refuse('secret-file', 'not a plain, small file', { file });
    checkMode(file, status);
    return new Uint8Array(readFileSync(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/** @throws Refusal `secret-file` when a directory of secrets is somebody else's, or others can enter it */
export function checkSecretDirectory(directory: string): void {
  const status = lstatSync(directory, { throwIfNoEntry: false });
  if (status?.isDirectory() !== true)
    return refuse('secret-file', 'the directory of secrets is not there', { file: directory });
  checkMode(directory, status);
}

function checkMode(file: string, { mode, uid }: { readonly mode: number; readonly uid: number }): void {
  const own = process.getuid?.();
  // Keylime's CVE-2022-23952: a file with secrets that others can read is not one to go on with.
  if ((mode & 0o077) !== 0 || (uid !== own && uid !== 0)) {
    refuse('secret-file', 'others can use a file that holds secrets', {
      file,
      mode: (mode & 0o777).toString(8),
      uid,
    });
  }
}
