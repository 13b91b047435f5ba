import { constants } from 'node:fs';
import { mkdir, open, readdir, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { loadNative } from '../agent/open-tpm.ts';
import { wipeDirectory } from './credentials/credentials-dir.ts';
import { sweepRunGroup } from './confine/cgroup.ts';
import { removeCopy } from './artifact/private-copy.ts';
import { MACHINE_USERS, sweepUsers } from './confine/user-lease.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** Where executions have their files: copies of artifacts, and credentials. */
export interface Places {
  /** `run` below the host's state directory. */
  readonly run: string;
  /** tmpfs. */
  readonly credentials: string;
}

/**
 * Takes the lock of an execution's files: as long as it is open, they are somebody's. The kernel lets go of it when the
 * process dies, however it dies.
 */
export async function lockExecution({ run }: Places, executionId: string): Promise<FileHandle> {
  await mkdir(run, { recursive: true, mode: 0o700 });
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(lockFile(run, executionId), flags, 0o600);
  const { tryLockFile } = await loadNative();
  if (tryLockFile(handle.fd)) return handle;
  await handle.close();
  throw new Error(`the execution ${executionId} is somebody else's`);
}

/** Wipes credentials and removes the copy of an execution that has ended. */
export async function clearExecution(places: Places, executionId: string, lock: FileHandle): Promise<void> {
  await wipeDirectory(path.join(places.credentials, executionId));
  await removeCopy(path.join(places.run, executionId));
  await rm(lockFile(places.run, executionId), { force: true });
  await lock.close();
}

/**
 * Removes what executions left behind whose gateway crashed: theirs is what nobody has locked.
 * @returns their ids
 */
export async function sweep(places: Places): Promise<readonly string[]> {
  const names = [...(await readdir(places.run).catch(() => [])), ...(await readdir(places.credentials))];
  const ids = new Set(names.map((name) => name.replace(/\.lock$/, '')).filter((name) => UUID.test(name)));
  // First what still runs, then what it could use.
  await sweepUsers(MACHINE_USERS);
  const cleared: string[] = [];
  for (const executionId of ids) {
    const lock = await lockExecution(places, executionId).catch(() => undefined);
    if (lock === undefined) continue;
    await sweepRunGroup(executionId);
    await clearExecution(places, executionId, lock);
    cleared.push(executionId);
  }
  return cleared;
}

const lockFile = (run: string, executionId: string): string => path.join(run, `${executionId}.lock`);
