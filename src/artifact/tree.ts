import { concat, fromUtf8, refuse, toHex, utf8 } from '../base/index.ts';
import type { FileEntry, TreeEntry } from './tree-entry.ts';
import { checkLinks } from './tree-links.ts';

/** A tree in its canonical form. The digest of a tree is the SHA-256 of `manifest`. */
export interface TreeManifest {
  readonly manifest: Uint8Array;
  /** Regular files. */
  readonly files: number;
  /** Sum of their sizes. */
  readonly bytes: number;
}

/** First field of every manifest; a file that starts with it is no artifact, so that a tree can't pass as a file. */
export const TREE_MAGIC: Uint8Array = utf8('sealgate-tree/v1\0');

/** Bounds of a tree: entries, and bytes of one path (Linux PATH_MAX). */
export const TREE_LIMITS = { entries: 500_000, path: 4096 } as const;

const SET_ID_BITS = 0o6000;

/**
 * The canonical manifest (docs/ARTIFACTS.md): the magic, then for each entry in bytewise order of the paths the
 * fields of its type, each ended by NUL, which no path and no link target can hold:
 * `dir mode path`, `file mode size sha256 path`, `link target path`; mode is four octal digits.
 * @throws Refusal `artifact-path`, `artifact-type`, `artifact-setuid`, `artifact-hard-link`, `artifact-link`,
 * `artifact-empty`, `artifact-limit`
 */
export function treeManifest(entries: readonly TreeEntry[]): TreeManifest {
  if (entries.length > TREE_LIMITS.entries) {
    refuse('artifact-limit', `over ${String(TREE_LIMITS.entries)} entries in one tree`);
  }
  const sorted = [...entries].sort((a, b) => Buffer.compare(a.path, b.path));
  checkPaths(sorted);
  sorted.forEach(checkEntry);
  const files = sorted.filter((entry) => entry.type === 'file');
  checkHardLinks(files);
  checkLinks(sorted);
  if (files.length === 0) refuse('artifact-empty', 'the tree has no file: an empty artifact proves nothing');
  return {
    manifest: concat([TREE_MAGIC, ...sorted.map(record)]),
    files: files.length,
    bytes: files.reduce((sum, file) => sum + file.size, 0),
  };
}

/** The file's name for people, or a refusal: other tools and the evidence name files by text. */
export function pathText(path: Uint8Array): string {
  try {
    return fromUtf8(path, 'path');
  } catch {
    return refuse('artifact-path', 'a file name is not UTF-8');
  }
}

function checkPaths(sorted: readonly TreeEntry[]): void {
  let before = '';
  for (const { path } of sorted) {
    const text = pathText(path);
    const parts = text.split('/');
    const bad = parts.some((part) => part === '' || part === '.' || part === '..') || text.includes('\0');
    if (bad || path.length > TREE_LIMITS.path)
      refuse('artifact-path', 'impossible path in a tree', { path: text });
    if (text === before) refuse('artifact-path', 'two entries of one name', { path: text });
    before = text;
  }
}

function checkEntry(entry: TreeEntry): void {
  const path = pathText(entry.path);
  if (entry.type === 'other')
    refuse('artifact-type', `a ${entry.kind} can't be part of an artifact`, { path });
  if (entry.type === 'link') return;
  if ((entry.mode & SET_ID_BITS) !== 0)
    refuse('artifact-setuid', 'set-user-ID or set-group-ID bit', { path });
}

/** A name outside the root would let someone else change the file after it was hashed (CVE-2026-47699's kind). */
function checkHardLinks(files: readonly FileEntry[]): void {
  const seen = new Map<string, number>();
  for (const { links } of files) seen.set(links.inode, (seen.get(links.inode) ?? 0) + 1);
  for (const { path, links } of files) {
    const inside = seen.get(links.inode) ?? 0;
    if (links.count === inside) continue;
    refuse('artifact-hard-link', `${String(links.count)} names, ${String(inside)} of them in the tree`, {
      path: pathText(path),
    });
  }
}

function record(entry: TreeEntry): Uint8Array {
  switch (entry.type) {
    case 'directory':
      return fields(utf8('dir'), octal(entry.mode), entry.path);
    case 'file':
      return fields(
        utf8('file'),
        octal(entry.mode),
        utf8(String(entry.size)),
        utf8(toHex(entry.sha256)),
        entry.path,
      );
    case 'link':
      return fields(utf8('link'), entry.target, entry.path);
    case 'other':
      return refuse('artifact-type', `a ${entry.kind} can't be part of an artifact`);
  }
}

function octal(mode: number): Uint8Array {
  return utf8(mode.toString(8).padStart(4, '0'));
}

const NUL = new Uint8Array(1);

function fields(...values: readonly Uint8Array[]): Uint8Array {
  return concat(values.flatMap((value) => [value, NUL]));
}
