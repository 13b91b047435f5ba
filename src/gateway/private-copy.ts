import { constants } from 'node:fs';
import { chmod, lchown, lstat, mkdir, open, readdir, readlink, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { equalBytes, refuse } from '../base/index.ts';
import { isInMemory } from './file-systems.ts';
import { measureArtifact } from './measure-artifact.ts';
import type { MeasuredArtifact } from './measure-artifact.ts';

/** An artifact that nobody but this program's user can change, and what it is. */
export interface PrivateCopy {
  /** The copy: a file, or the root of a tree. */
  readonly path: string;
  readonly measured: MeasuredArtifact;
  /** Directory that holds it; removed at the end. */
  readonly directory: string;
}

/**
 * Copies an artifact to where only this program's user writes, and measures the copy: what is signed, quoted and run are
 * the same bytes, whoever writes to the original. Reading it as root is also what lets the kernel (IMA) measure it before
 * the quote, so the place may not be one that IMA leaves out.
 * @param directory a new directory for it; its parent is private
 * @param anywhere allow a file system in memory (a platform whose runtime isn't measured)
 * @throws Refusal `artifact-place`, `artifact-changed` and those of {@link measureArtifact}
 */
export async function copyPrivately(
  source: string,
  directory: string,
  anywhere: boolean,
): Promise<PrivateCopy> {
  // Before the copy: set-ID bits, capabilities and links that leave the root are lost by copying, not refused.
  const original = await measureArtifact(source);
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await chmod(directory, 0o755);
  if (!anywhere && (await isInMemory(directory)))
    refuse(
      'artifact-place',
      'artifacts would be copied to a file system in memory, which IMA does not measure',
      {
        directory,
      },
    );
  const target = path.join(directory, safeName(source));
  const budget = { left: original.bytes };
  if (original.type === 'tree') await copyTree(source, target, budget);
  else await copyOne(source, target, budget);
  const measured = await measureArtifact(target);
  if (!equalBytes(measured.digests.sha256, original.digests.sha256) || measured.type !== original.type)
    refuse('artifact-changed', 'the artifact was written to while it was copied');
  return { path: target, measured, directory };
}

/** A name that is nothing to a shell, an option parser or an assignment. */
function safeName(source: string): string {
  const name = path.basename(source).replace(/[^A-Za-z0-9._-]/g, '_');
  return /^[A-Za-z0-9_]/.test(name) ? name : `_${name}`;
}

/** Executable for everybody where it was for anybody, writable for nobody. */
async function copyOne(source: string, target: string, budget: Budget): Promise<void> {
  // The path itself may be a link to the artifact.
  const executable = ((await stat(source)).mode & 0o111) !== 0;
  await copyContent(source, target, 0, budget);
  await ownIt(target);
  await chmod(target, executable ? 0o555 : 0o444);
}

/** Modes are part of a tree's digest, so they are kept. */
async function copyTree(source: string, target: string, budget: Budget): Promise<void> {
  await mkdir(target, { mode: 0o700 });
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const [from, to] = [path.join(source, entry.name), path.join(target, entry.name)];
    if (entry.isDirectory()) {
      await copyTree(from, to, budget);
      await chmod(to, (await lstat(from)).mode & 0o777);
    } else if (entry.isSymbolicLink()) {
      await symlink(await readlink(from), to);
      await ownIt(to);
    } else {
      await copyContent(from, to, constants.O_NOFOLLOW, budget);
      await ownIt(to);
      await chmod(to, (await lstat(from)).mode & 0o777);
    }
  }
  await ownIt(target);
  await chmod(target, 0o755);
}

/** Bytes that may still be copied: as many as were measured. */
interface Budget {
  left: number;
}

const CHUNK = 1024 * 1024;

/**
 * Copies what one descriptor shows: a path that became a FIFO or a device meanwhile neither blocks nor is read, and a file
 * that grows fills no disk.
 * @throws Refusal `artifact-changed`
 */
async function copyContent(source: string, target: string, flags: number, budget: Budget): Promise<void> {
  const from = await open(source, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  try {
    if (!(await from.stat()).isFile())
      refuse('artifact-changed', 'the artifact was replaced while it was copied');
    const to = await open(target, 'wx', 0o600);
    try {
      const buffer = new Uint8Array(CHUNK);
      for (;;) {
        const { bytesRead } = await from.read(buffer, 0, CHUNK, null);
        if (bytesRead === 0) return;
        budget.left -= bytesRead;
        if (budget.left < 0) refuse('artifact-changed', 'the artifact grew while it was copied');
        await to.writeFile(new Uint8Array(buffer.buffer, 0, bytesRead));
      }
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function ownIt(target: string): Promise<void> {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  await lchown(target, uid, gid);
}

/** Removes a copy, whatever modes its directories have. */
export async function removeCopy(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
