/*
 * tpm2-tss opens sockets and devices without O_CLOEXEC, so that a process which is started meanwhile keeps a copy: an
 * emulator serves nobody else until that process has ended, and whoever runs in it could speak to the TPM. Calls into C
 * and starts of processes therefore take turns.
 */

let calls = 0;
const starts: (() => void)[] = [];
const held: (() => void)[] = [];

/** Runs a call into C. Processes are started before or after it; one that waits goes first. */
export async function duringCall<T>(call: () => Promise<T>): Promise<T> {
  while (starts.length > 0)
    await new Promise<void>((resolve) => {
      held.push(resolve);
    });
  calls++;
  try {
    return await call();
  } finally {
    calls--;
    letStart();
  }
}

/**
 * Starts a process while no call into C is under way, so that it inherits no connection to a TPM that such a call has open.
 * @param start synchronous: child_process has forked when it returns. Listeners belong in it as well, since an `error` may
 *   come before whoever awaits goes on.
 * @throws what `start` throws
 */
export function startProcess<T>(start: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    starts.push(() => {
      try {
        resolve(start());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    });
    letStart();
  });
}

function letStart(): void {
  if (calls > 0) return;
  for (const start of starts.splice(0)) start();
  for (const go of held.splice(0)) go();
}
