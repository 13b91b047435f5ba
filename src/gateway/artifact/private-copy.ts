import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rm, symlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { refuse } from '../../base/index.ts';
import { isInMemory } from './file-systems.ts';
import type { MeasuredArtifact } from './measure-artifact.ts';
import { readAgain } from './read-artifact.ts';
import type { ArtifactSink, ReadArtifact } from './read-artifact.ts';
import type { RunUser } from '../run-order.ts';

/** An artifact that nobody but this program's user can change, and what it is. */
export interface PrivateCopy {
  /** The copy: a file, or the root of a tree. */
  readonly path: string;
  readonly measured: MeasuredArtifact;
  /** Directory that holds it; removed at the end. */
  readonly directory: string;
  /** Its files, by absolute paths. */
  readonly files: readonly string[];
}

/**
 * Copies an artifact that was read and judged to where only this program's user writes: what is signed, quoted and run
 * are the same bytes, whoever writes to the original. It is read again with the caller's rights, and hashed again while it
 * is written; nothing of the copy is opened for reading here, so the kernel (IMA) measures nothing of it before
 * {@link showToKernel}. The place may not be one that IMA leaves out.
 * @param directory a new directory for it; its parent is private
 * @param anywhere allow a file system in memory (a platform whose runtime isn't measured)
 * @throws Refusal `artifact-place`, `artifact-changed` and those of `readArtifact`
 */
export async function copyPrivately(
  caller: RunUser,
  read: ReadArtifact,
  directory: string,
  anywhere: boolean,
): Promise<PrivateCopy> {
  const target = copyPath(read, directory);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await chmod(directory, 0o755);
  if (!anywhere && (await isInMemory(directory)))
    refuse(
      'artifact-place',
      'artifacts would be copied to a file system in memory, which IMA does not measure',
      { directory },
    );
  const writer = new CopyWriter(target, read.measured.type);
  try {
    await readAgain(caller, read, writer);
    await writer.finish();
  } finally {
    await writer.close();
  }
  return { path: target, measured: read.measured, directory, files: writer.files };
}

/** Where a copy will be. */
export function copyPath({ place }: Pick<ReadArtifact, 'place'>, directory: string): string {
  return path.join(directory, safeName(place.name));
}

/** A name that is nothing to a shell, an option parser or an assignment. */
function safeName(source: string): string {
  const name = source.replace(/[^A-Za-z0-9._-]/g, '_');
  return /^[A-Za-z0-9_]/.test(name) ? name : `_${name}`;
}

/**
 * Has the kernel measure a copy: IMA does when root opens a file to read it. From here on its digests are in the host's
 * list, so it is done under the TPM's lock, which attestations take too, right before the decision is asked for.
 */
export async function showToKernel({ files }: PrivateCopy): Promise<void> {
  for (const file of files) {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    await handle.close();
  }
}

/** Removes a copy, whatever modes its directories have. */
export async function removeCopy(directory: string): Promise<void> {
  if (process.getuid?.() !== 0) await makeWritable(directory);
  await rm(directory, { recursive: true, force: true });
}

/** Who isn't root removes nothing from a directory without the bit for it. */
async function makeWritable(directory: string): Promise<void> {
  await chmod(directory, 0o700).catch(() => undefined);
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await makeWritable(path.join(directory, entry.name));
}

/**
 * Writes a copy. Links are made when everything else is there, so that nothing is ever written through one; modes of
 * directories last, since who isn't root may not write to all of them.
 */
class CopyWriter implements ArtifactSink {
  readonly #target: string;
  readonly #type: MeasuredArtifact['type'];
  readonly #links: (readonly [string, string])[] = [];
  readonly #directories: (readonly [string, number])[] = [];
  readonly files: string[] = [];
  #open: FileHandle | undefined;

  constructor(target: string, type: MeasuredArtifact['type']) {
    this.#target = target;
    this.#type = type;
  }

  async directory(name: string, mode: number): Promise<void> {
    const at = this.#at(name, 'tree');
    await mkdir(at, { mode: 0o700 });
    // The root's mode is no part of a tree's digest.
    this.#directories.push([at, name === '' ? 0o755 : mode & 0o777]);
  }

  link(name: string, target: string): Promise<void> {
    this.#links.push([this.#at(name, 'tree'), target]);
    return Promise.resolve();
  }

  async file(name: string, mode: number): Promise<(part: Uint8Array | undefined) => Promise<void>> {
    const at = this.#at(name, name === '' ? 'file' : 'tree');
    const handle = await open(at, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
    this.#open = handle;
    this.files.push(at);
    const executable = (mode & 0o111) !== 0;
    // Modes are part of a tree's digest, so they are kept; a file is executable for everybody where it was for anybody.
    const kept = name === '' ? (executable ? 0o555 : 0o444) : mode & 0o777;
    return async (part) => {
      if (part !== undefined) {
        await handle.writeFile(part);
        return;
      }
      await handle.chmod(kept);
      await this.close();
    };
  }

  /** What a reading that broke off left open. */
  async close(): Promise<void> {
    const handle = this.#open;
    this.#open = undefined;
    await handle?.close();
  }

  async finish(): Promise<void> {
    for (const [at, target] of this.#links) await symlink(target, at);
    for (const [at, mode] of this.#directories.reverse()) await chmod(at, mode);
  }

  #at(name: string, type: MeasuredArtifact['type']): string {
    if (type !== this.#type) refuse('artifact-changed', 'the artifact was replaced while it was copied');
    return name === '' ? this.#target : path.join(this.#target, name);
  }
}
