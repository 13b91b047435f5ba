import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { ContentDigests, HashName } from '../../artifact/index.ts';
import { concat, refuse } from '../../base/index.ts';

/** Bytes read at once, at most: memory stays flat whatever the file's size. */
const CHUNK = 1024 * 1024;

/** What {@link hashFile} read. */
export interface HashedFile {
  readonly digests: ContentDigests;
  /** Bytes. */
  readonly size: number;
  /** The first bytes of the content, at most 64. */
  readonly head: Uint8Array;
}

/**
 * Hashes an open regular file to its end; the file must be the same before and after.
 * @param hashes besides SHA-256
 * @throws Refusal `artifact-changed` when it was written to meanwhile
 */
export async function hashFile(handle: FileHandle, hashes: readonly HashName[]): Promise<HashedFile> {
  const before = await handle.stat({ bigint: true });
  const names = [...new Set<HashName>(['sha256', ...hashes])];
  const hashers = names.map((name) => createHash(name));
  // One byte more than a small file has, so that its end is seen without a second buffer.
  const buffer = new Uint8Array(Math.min(CHUNK, Number(before.size) + 1));
  let head: Uint8Array = new Uint8Array();
  let size = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    const chunk = new Uint8Array(buffer.buffer, 0, bytesRead);
    if (head.length < 64) head = concat([head, chunk.slice(0, 64 - head.length)]);
    for (const hasher of hashers) hasher.update(chunk);
    size += bytesRead;
  }
  if (!unchanged(before, await handle.stat({ bigint: true })) || BigInt(size) !== before.size) {
    refuse('artifact-changed', 'a file was written to while it was hashed');
  }
  return {
    digests: namedDigests(
      names,
      hashers.map((hasher) => new Uint8Array(hasher.digest())),
    ),
    size,
    head,
  };
}

/** Digests of bytes at hand, in the same form. */
export function hashBytes(bytes: Uint8Array, hashes: readonly HashName[]): ContentDigests {
  const names = [...new Set<HashName>(['sha256', ...hashes])];
  return namedDigests(
    names,
    names.map((name) => new Uint8Array(createHash(name).update(bytes).digest())),
  );
}

function namedDigests(names: readonly HashName[], values: readonly Uint8Array[]): ContentDigests {
  const of = (name: HashName): Uint8Array | undefined => values[names.indexOf(name)];
  const [sha256, sha384, sha512] = [of('sha256'), of('sha384'), of('sha512')];
  if (sha256 === undefined) throw new TypeError('SHA-256 is always computed');
  return { sha256, ...(sha384 && { sha384 }), ...(sha512 && { sha512 }) };
}

function unchanged(a: BigIntStats, b: BigIntStats): boolean {
  return (
    a.ino === b.ino &&
    a.dev === b.dev &&
    a.size === b.size &&
    a.mtimeNs === b.mtimeNs &&
    a.ctimeNs === b.ctimeNs
  );
}
