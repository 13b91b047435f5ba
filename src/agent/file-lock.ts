import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { refuse } from '../base/index.ts';
import { loadNative } from './open-tpm.ts';

/** How long a lock is waited for, and how long it may be held (PROTOCOL 5). */
export const LOCK_BOUND_MS = 30_000;
/** In the state directory; held while what a host remembers of its verifier is read and replaced. */
export const MEMORY_LOCK = 'memory.lock';
const FIRST_WAIT_MS = 2;
const LONGEST_WAIT_MS = 50;

/**
 * Runs a task while no other process, and no other task of this one, has the lock of the file. The lock is flock(2)'s:
 * a process that dies lets go of it.
 * @param boundMs after that much waiting the lock is refused; after that much of the task its signal fires
 * @throws Refusal `agent-lock`, also where the task ended by its signal; what the task threw
 */
export async function withFileLock<T>(
  file: string,
  task: (signal: AbortSignal) => Promise<T>,
  boundMs = LOCK_BOUND_MS,
): Promise<T> {
  const { tryLockFile } = await loadNative();
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const handle = await open(file, flags, 0o600);
  try {
    const deadline = performance.now() + boundMs;
    for (let wait = FIRST_WAIT_MS; !tryLockFile(handle.fd); wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      if (performance.now() > deadline)
        refuse('agent-lock', `another execution has held the TPM for over ${String(boundMs / 1000)} s`, {
          file,
        });
      await sleep(wait);
    }
    return await inTime(file, task, boundMs);
  } finally {
    await handle.close();
  }
}

/** The task with its signal, whose reason alone would tell nobody what took too long. */
async function inTime<T>(
  file: string,
  task: (signal: AbortSignal) => Promise<T>,
  boundMs: number,
): Promise<T> {
  const signal = AbortSignal.timeout(boundMs);
  try {
    return await task(signal);
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    return refuse('agent-lock', `the work under this lock took over ${String(boundMs / 1000)} s`, { file });
  }
}
