import { openHost } from './host.ts';
import type { Host, HostOptions } from './host.ts';

/**
 * The one open host of a daemon. When its TPM is gone (restarted, or its device was reset), it is dropped and opened again
 * by whoever needs it next.
 */
export class HostAccess implements AsyncDisposable {
  readonly #options: HostOptions;
  #host: Promise<Host> | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** @throws what {@link openHost} throws; the next call tries again */
  async current(): Promise<Host> {
    const opening = (this.#host ??= openHost(this.#options));
    try {
      return await opening;
    } catch (error) {
      if (this.#host === opening) this.#host = undefined;
      throw error;
    }
  }

  /** Closes it; the next use opens it anew. */
  async drop(): Promise<void> {
    const host = this.#host;
    this.#host = undefined;
    if (host === undefined) return;
    try {
      await (await host).close();
    } catch {
      // It could not be opened, or its TPM does not even answer a flush: there is nothing left to close.
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }
}
