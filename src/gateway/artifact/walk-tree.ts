import { constants } from 'node:fs';
import type { Stats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { TREE_LIMITS } from '../../artifact/index.ts';
import type { TreeEntry } from '../../artifact/index.ts';
import { concat, fromUtf8, refuse, utf8 } from '../../base/index.ts';
import { hashFile } from './hash-file.ts';

/** S_ISUID and S_ISGID. */
export const SET_ID_BITS = 0o6000;

/** Directories below directories: each holds one descriptor open. */
const MAX_DEPTH = 64;

const SLASH = utf8('/');

/**
 * Every object below an open directory, with the digests of its files. Names are resolved against open directory
 * descriptors (`/proc/self/fd/N/name` is Linux's openat for Node) and no link is followed, so what is hashed is what
 * was listed even while somebody renames directories.
 * @throws Refusal `artifact-changed`, `artifact-limit`; file system errors as they are
 */
export async function collectTree(root: FileHandle): Promise<TreeEntry[]> {
  const entries: TreeEntry[] = [];
  await walk(root, new Uint8Array(), 0, entries);
  return entries;
}

async function walk(
  directory: FileHandle,
  prefix: Uint8Array,
  depth: number,
  entries: TreeEntry[],
): Promise<void> {
  if (depth > MAX_DEPTH) refuse('artifact-limit', `directories nested over ${String(MAX_DEPTH)} deep`);
  const here = utf8(`/proc/self/fd/${String(directory.fd)}`);
  const names = await readdir(Buffer.from(here), { encoding: 'buffer' });
  for (const name of names) {
    if (entries.length >= TREE_LIMITS.entries)
      refuse('artifact-limit', `over ${String(TREE_LIMITS.entries)} entries`);
    const path = prefix.length === 0 ? new Uint8Array(name) : concat([prefix, SLASH, name]);
    await visit(Buffer.from(concat([here, SLASH, name])), path, depth, entries);
  }
}

async function visit(at: Buffer, path: Uint8Array, depth: number, entries: TreeEntry[]): Promise<void> {
  const seen = await sameAsListed(path, () => lstat(at));
  if (seen.isSymbolicLink()) {
    const target = await sameAsListed(path, () => readlink(at, { encoding: 'buffer' }));
    entries.push({ path, type: 'link', target: new Uint8Array(target) });
    return;
  }
  // Opening a device or a FIFO can have effects, so they are named from the listing.
  if (!seen.isFile() && !seen.isDirectory()) {
    entries.push({ path, type: 'other', kind: kindOf(seen) });
    return;
  }
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await sameAsListed(path, () => open(at, flags));
  try {
    await visitOpened(handle, path, depth, entries);
  } finally {
    await handle.close();
  }
}

/** What was opened is what counts, whatever the listing said before. */
async function visitOpened(
  handle: FileHandle,
  path: Uint8Array,
  depth: number,
  entries: TreeEntry[],
): Promise<void> {
  const stat = await handle.stat({ bigint: true });
  const mode = Number(stat.mode & 0o7777n);
  if (stat.isDirectory()) {
    entries.push({ path, type: 'directory', mode });
    await walk(handle, path, depth + 1, entries);
    return;
  }
  if (!stat.isFile())
    refuse('artifact-changed', 'an object changed its type while the tree was read', { path: text(path) });
  const { digests, size } = await hashFile(handle, []);
  const links = { count: Number(stat.nlink), inode: `${String(stat.dev)}:${String(stat.ino)}` };
  entries.push({ path, type: 'file', mode, size, sha256: digests.sha256, links });
}

/** A name that was listed and is gone, or is a link now, means that somebody writes to the tree. */
async function sameAsListed<T>(path: Uint8Array, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EINVAL' || code === 'ENOTDIR') {
      refuse('artifact-changed', 'an object changed while the tree was read', { path: text(path) });
    }
    throw error;
  }
}

function kindOf(stat: Stats): string {
  if (stat.isFIFO()) return 'FIFO';
  if (stat.isSocket()) return 'socket';
  return stat.isBlockDevice() ? 'block device' : 'character device';
}

/** For messages only; the manifest refuses names that are no text. */
function text(path: Uint8Array): string {
  try {
    return fromUtf8(path, 'path');
  } catch {
    return '(not UTF-8)';
  }
}
