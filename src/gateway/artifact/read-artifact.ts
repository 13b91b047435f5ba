import { createHash } from 'node:crypto';
import path from 'node:path';
import { TREE_LIMITS, TREE_MAGIC, treeManifest } from '../../artifact/index.ts';
import type { TreeEntry } from '../../artifact/index.ts';
import { concat, equalBytes, fromUtf8, refuse } from '../../base/index.ts';
import { archiveAs, realPathAs, refuseCapabilitiesAs } from './as-caller.ts';
import { hashBytes } from './hash-file.ts';
import type { MeasuredArtifact } from './measure-artifact.ts';
import type { RunUser } from '../run-order.ts';
import { readTar } from './tar-stream.ts';
import type { TarEntry } from './tar-stream.ts';
import { SET_ID_BITS } from './walk-tree.ts';

/** Directories below directories, as for what is signed. */
const MAX_DEPTH = 64;
/** Bytes of all files together. */
const MAX_BYTES = 16 * 1024 ** 3;
/** What the kernel looks at of a program, and what tells a tree's manifest. */
const HEAD = 256;

/** What a caller named, as the caller could read it. */
export interface ReadArtifact {
  readonly measured: MeasuredArtifact;
  /** Where it was: the real path's directory and last name. */
  readonly place: { readonly parent: string; readonly name: string };
  /** By its path below the root; of a file artifact the one entry is the empty path. */
  readonly objects: ReadonlyMap<string, ReadObject>;
}

/** One object of an artifact. */
export interface ReadObject {
  readonly type: TreeEntry['type'];
  readonly mode: number;
  /** The first bytes of a file, at most 256; empty where nothing can start with it. */
  readonly head: Uint8Array;
  /** Of a link. */
  readonly target: string;
}

/** Takes the objects of an artifact as they are read; what it makes of them counts when all have been judged. */
export interface ArtifactSink {
  directory(name: string, mode: number): Promise<void>;
  link(name: string, target: string): Promise<void>;
  /** @returns takes the content part by part; `undefined` ends it */
  file(name: string, mode: number): Promise<(part: Uint8Array | undefined) => Promise<void>>;
}

/**
 * Reads a file or tree with its caller's rights and says what it is: nothing of it is opened, kept or written by this
 * program. The digests are those of {@link measureArtifact}.
 * @throws Refusal `artifact-…`, `caller-rights`
 */
export async function readArtifact(caller: RunUser, source: string): Promise<ReadArtifact> {
  const real = await realPathAs(caller, source);
  await refuseCapabilitiesAs(caller, real);
  const place = { parent: path.dirname(real), name: path.basename(real) };
  return { ...(await readInto(caller, place, undefined, MAX_BYTES)), place };
}

/**
 * Reads it once more, into a sink.
 * @throws Refusal `artifact-changed` unless it is what it was
 */
export async function readAgain(caller: RunUser, before: ReadArtifact, sink: ArtifactSink): Promise<void> {
  const { measured, place } = before;
  const again = await readInto(caller, place, sink, measured.bytes);
  if (
    again.measured.type !== measured.type ||
    !equalBytes(again.measured.digests.sha256, measured.digests.sha256)
  )
    refuse('artifact-changed', 'the artifact was written to while it was copied');
}

async function readInto(
  caller: RunUser,
  place: ReadArtifact['place'],
  sink: ArtifactSink | undefined,
  most: number,
): Promise<Omit<ReadArtifact, 'place'>> {
  const reading = new Reading(`./${place.name}`, sink, most);
  await archiveAs(caller, place, (stream) =>
    readTar(stream, (entry, content) => reading.take(entry, content)),
  );
  return reading.result();
}

/** What was read of one artifact so far. */
export class Reading {
  readonly #root: string;
  readonly #sink: ArtifactSink | undefined;
  readonly #objects = new Map<string, ReadObject>();
  readonly #entries: TreeEntry[] = [];
  #left: number;
  #file: Omit<MeasuredArtifact, 'type' | 'manifest'> | undefined;

  constructor(root: string, sink: ArtifactSink | undefined, most: number) {
    this.#root = root;
    this.#sink = sink;
    this.#left = most;
  }

  async take(entry: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#objects.size > TREE_LIMITS.entries)
      refuse('artifact-limit', `over ${String(TREE_LIMITS.entries)} entries`);
    const name = this.#nameBelow(entry);
    if (this.#objects.has(name)) refuse('artifact-path', 'two entries of one name', { path: name });
    const { mode } = entry;
    const object = { type: entry.type, mode, head: new Uint8Array(), target: '' };
    if (entry.type === 'file') await this.#takeFile(name, entry, content);
    else if (entry.type === 'link') await this.#takeLink(name, entry);
    else if (name === '') {
      if (entry.type === 'other') refuse('artifact-type', 'an artifact is a regular file or a directory');
      this.#objects.set(name, object);
      await this.#sink?.directory(name, mode);
    } else {
      this.#objects.set(name, object);
      const at = { path: Buffer.from(name), mode };
      this.#entries.push(
        entry.type === 'other' ? { ...at, type: 'other', kind: entry.kind } : { ...at, type: 'directory' },
      );
      if (entry.type === 'directory') await this.#sink?.directory(name, mode);
    }
  }

  /** What all of it is, judged. @throws Refusal `artifact-…` */
  result(): Omit<ReadArtifact, 'place'> {
    const objects = this.#objects;
    if (this.#file !== undefined)
      return { measured: { type: 'file', ...this.#file, manifest: undefined }, objects };
    if (!objects.has('')) refuse('artifact-stream', 'what reads the artifact gave nothing');
    const { manifest, files, bytes } = treeManifest(this.#entries);
    return { measured: { type: 'tree', digests: hashBytes(manifest, []), files, bytes, manifest }, objects };
  }

  /** The path below the root. The root comes first; what is in a directory comes after it. */
  #nameBelow({ name: bytes }: TarEntry): string {
    const name = entryText(bytes);
    if (this.#objects.size === 0) {
      if (name !== this.#root) refuse('artifact-stream', 'what reads the artifact began with something else');
      return '';
    }
    const below = name.slice(this.#root.length + 1);
    const parts = below.split('/');
    if (
      !name.startsWith(`${this.#root}/`) ||
      parts.some((part) => part === '' || part === '.' || part === '..')
    )
      refuse('artifact-path', 'impossible path in a tree', { path: name });
    if (parts.length > MAX_DEPTH + 1)
      refuse('artifact-limit', `directories nested over ${String(MAX_DEPTH)} deep`);
    if (this.#objects.get(parts.slice(0, -1).join('/'))?.type !== 'directory')
      refuse('artifact-path', 'an object below what is no directory', { path: name });
    return below;
  }

  async #takeFile(name: string, { mode, size }: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    if ((mode & SET_ID_BITS) !== 0)
      refuse('artifact-setuid', 'set-user-ID or set-group-ID bit', { path: name });
    this.#left -= size;
    if (this.#left < 0)
      refuse(
        this.#sink === undefined ? 'artifact-limit' : 'artifact-changed',
        'the artifact is larger than what may be read of it',
      );
    const write = await this.#sink?.file(name, mode);
    const hash = createHash('sha256');
    let head: Uint8Array = new Uint8Array();
    for await (const part of content) {
      if (head.length < HEAD) head = concat([head, part.slice(0, HEAD - head.length)]);
      hash.update(part);
      await write?.(part);
    }
    await write?.(undefined);
    const sha256 = new Uint8Array(hash.digest());
    const starts = name === '' || (mode & 0o111) !== 0;
    this.#objects.set(name, { type: 'file', mode, head: starts ? head : new Uint8Array(), target: '' });
    if (name !== '') {
      const links = { count: 1, inode: name };
      this.#entries.push({ path: Buffer.from(name), type: 'file', mode, size, sha256, links });
      return;
    }
    // A file that reads as a manifest would have the digest of a tree.
    if (equalBytes(head.slice(0, TREE_MAGIC.length), TREE_MAGIC))
      refuse('artifact-type', 'the file is the manifest of a tree, not an artifact');
    this.#file = { digests: { sha256 }, files: 1, bytes: size };
  }

  async #takeLink(name: string, { mode, target: bytes }: TarEntry): Promise<void> {
    // The path was resolved a moment ago.
    if (name === '') refuse('artifact-changed', 'the artifact was replaced by a link');
    const target = entryText(bytes);
    this.#objects.set(name, { type: 'link', mode, head: new Uint8Array(), target });
    this.#entries.push({ path: Buffer.from(name), type: 'link', target: bytes.slice() });
    await this.#sink?.link(name, target);
  }
}

function entryText(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes, 'path');
  } catch {
    return refuse('artifact-path', 'a file name is not UTF-8');
  }
}
