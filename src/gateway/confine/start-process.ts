import { execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { loadNative } from '../../agent/open-tpm.ts';

/**
 * Starts a process that inherits nothing but the streams that it is given: no descriptor of the TPM, which C opens
 * without O_CLOEXEC, and none that the gateway itself was started with. Waits for a command of the TPM that is under way.
 * @param start synchronous; listeners for the process's events belong in it
 * @throws Refusal `tpm-timeout` when that command takes too long; what `start` throws
 */
export async function startProcess<T>(start: () => T): Promise<T> {
  const native = await loadNative();
  return await native.startProcess(() => closed(native, start));
}

/**
 * {@link startProcess} at once, for what ends processes: a TPM that doesn't answer must not keep anything alive. A
 * connection that an emulator's command has open at this moment is inherited.
 */
export async function startProcessNow<T>(start: () => T): Promise<T> {
  return closed(await loadNative(), start);
}

/** Runs a program of the system, without an environment. @returns whether it ended with 0 in its time */
export function succeeds(file: string, args: readonly string[], timeoutMs: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const start = (): ChildProcess =>
      execFile(file, args, { env: {}, timeout: timeoutMs }, (error) => {
        resolve(error === null);
      });
    startProcess(start).catch(reject);
  });
}

function closed<T>({ closeOnExec }: Awaited<ReturnType<typeof loadNative>>, start: () => T): T {
  closeOnExec();
  return start();
}
