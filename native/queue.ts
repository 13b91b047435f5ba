import { Refusal } from '../src/base/index.ts';

/** How one job of a {@link CommandQueue} runs. */
export interface JobOptions {
  /** Checked before the job starts; a command that the TPM works on is never cut off. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds until the caller stops waiting and the queue is broken. */
  readonly timeoutMs: number;
}

/**
 * Runs jobs one after the other: an ESYS_CONTEXT is not thread-safe, and calls run on libuv's pool.
 *
 * A job that takes too long breaks the queue: nobody knows what the TPM is doing, so nothing is sent any more. The
 * late job itself is left to end, since C still works with its memory.
 */
export class CommandQueue {
  #tail: Promise<unknown> = Promise.resolve();
  #broken: Refusal | undefined;
  /** How to reject each job that hasn't ended. */
  readonly #pending = new Set<(reason: Error) => void>();
  readonly #onTimeout: () => void;

  /** @param onTimeout called when a job has taken too long, after its caller was told */
  constructor(onTimeout: () => void) {
    this.#onTimeout = onTimeout;
  }

  /** Why no further job runs, if so. */
  get broken(): Refusal | undefined {
    return this.#broken;
  }

  /** No job starts from now on, and those that wait or run are rejected with this. The first reason stays. */
  break(reason: Refusal): void {
    this.#broken ??= reason;
    for (const reject of this.#pending) reject(this.#broken);
  }

  /** Resolves when no job is running, late ones included. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  /** @param label names the job in the refusal. @throws Refusal `tpm-timeout`, or what broke the queue before */
  run<T>(label: string, job: () => Promise<T>, options: JobOptions): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken);
        return;
      }
      this.#pending.add(reject);
      this.#tail = this.#tail.then(async () => {
        try {
          if (this.#broken === undefined) resolve(await this.#timed(label, job, options));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        } finally {
          this.#pending.delete(reject);
        }
      });
    });
  }

  async #timed<T>(label: string, job: () => Promise<T>, { signal, timeoutMs }: JobOptions): Promise<T> {
    if (signal?.aborted === true) throw abortError(signal);
    const timer = setTimeout(() => {
      this.break(timeoutRefusal(label, timeoutMs));
      this.#onTimeout();
    }, timeoutMs);
    try {
      return await job();
    } finally {
      clearTimeout(timer);
    }
  }
}

function abortError(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('aborted', { cause: signal.reason });
}

function timeoutRefusal(label: string, timeoutMs: number): Refusal {
  return new Refusal('tpm-timeout', `${label}: no answer within ${String(timeoutMs)} ms`, { command: label });
}
