import { Refusal } from '../src/base/index.ts';

/*
 * tpm2-tss opens sockets and devices without O_CLOEXEC, so that a process which is started meanwhile keeps a copy: an
 * emulator serves nobody else until that process has ended, and whoever runs in it could speak to the TPM. Calls into C
 * and starts of processes therefore take turns. This file loads no library, so that whoever only starts processes
 * imports it alone.
 */

/** How long a start waits for calls that are under way; new calls of other connections wait for it as long. */
const LONGEST_WAIT_MS = 30_000;

let calls = 0;
const starts = new Set<() => void>();
const held: (() => void)[] = [];

/**
 * Runs a call into C that may open descriptors. Processes are started before or after it; one that waits goes first, so a
 * call may be held: what it rests on is to be looked at in it.
 */
export async function duringCall<T>(call: () => Promise<T>): Promise<T> {
  while (starts.size > 0)
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
 * @param waitMs how long calls that are under way are waited for
 * @throws Refusal `tpm-timeout` when they take longer: then nothing was started; what `start` throws
 */
export function startProcess<T>(start: () => T, waitMs = LONGEST_WAIT_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer);
      starts.delete(go);
    };
    const go = (): void => {
      leave();
      try {
        resolve(start());
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      }
    };
    const timer = setTimeout(() => {
      leave();
      const seconds = String(waitMs / 1000);
      reject(new Refusal('tpm-timeout', `no process is started: the TPM is in use for over ${seconds} s`));
      letGo();
    }, waitMs);
    starts.add(go);
    letStart();
  });
}

function letStart(): void {
  if (calls > 0) return;
  for (const go of [...starts]) go();
  letGo();
}

/** Calls that were held go on, once no start waits. */
function letGo(): void {
  if (starts.size === 0) for (const go of held.splice(0)) go();
}
