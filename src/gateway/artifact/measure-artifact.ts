import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { TREE_MAGIC, treeManifest } from '../../artifact/index.ts';
import type { ContentDigests, HashName } from '../../artifact/index.ts';
import { equalBytes, refuse } from '../../base/index.ts';
import { refuseFileCapabilities } from './file-capabilities.ts';
import { hashBytes, hashFile } from './hash-file.ts';
import { SET_ID_BITS, collectTree } from './walk-tree.ts';

/** What an artifact on disk is, measured from the objects that were opened. */
export interface MeasuredArtifact {
  readonly type: 'file' | 'tree';
  readonly digests: ContentDigests;
  /** Regular files: 1 for a file. */
  readonly files: number;
  /** Sum of their sizes. */
  readonly bytes: number;
  /** The canonical manifest of a tree: the content that CMS and SSHSIG sign. */
  readonly manifest: Uint8Array | undefined;
}

/**
 * Digests of a file or a directory tree. The path itself may be a symbolic link; below a directory none is followed.
 * @param hashes which digests of the content besides SHA-256
 * @throws Refusal `artifact-…` for what can't be an artifact; file system errors of the path itself as they are
 */
export async function measureArtifact(
  file: string,
  hashes: readonly HashName[] = [],
): Promise<MeasuredArtifact> {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (stat.isDirectory()) return await measureTree(file, handle, hashes);
    if (!stat.isFile()) return refuse('artifact-type', 'an artifact is a regular file or a directory');
    if ((stat.mode & SET_ID_BITS) !== 0) refuse('artifact-setuid', 'set-user-ID or set-group-ID bit');
    await refuseFileCapabilities(file);
    const { digests, size, head } = await hashFile(handle, hashes);
    // A file that reads as a manifest would have the digest of a tree.
    if (equalBytes(head.slice(0, TREE_MAGIC.length), TREE_MAGIC)) {
      refuse('artifact-type', 'the file is the manifest of a tree, not an artifact');
    }
    return { type: 'file', digests, files: 1, bytes: size, manifest: undefined };
  } finally {
    await handle.close();
  }
}

async function measureTree(
  root: string,
  handle: FileHandle,
  hashes: readonly HashName[],
): Promise<MeasuredArtifact> {
  const { manifest, files, bytes } = treeManifest(await collectTree(handle));
  await refuseFileCapabilities(root);
  return { type: 'tree', digests: hashBytes(manifest, hashes), files, bytes, manifest };
}
