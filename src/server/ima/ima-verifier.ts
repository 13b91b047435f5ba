import { Reader } from '../../base/index.ts';
import { verifyIma, verifyImaWith } from '../../evidence/index.ts';
import type { ImaQuestion, VerifiedIma } from '../../evidence/index.ts';
import { ImaWorkers } from './ima-workers.ts';

/** Lists up to this size are verified at once: some ten milliseconds. */
const SMALL = 1024 * 1024;
/** Of a larger list as much is looked at between two turns of the event loop. */
const CHUNK = 256 * 1024;
/** Beside this one; the store and the policy have threads of their own. */
const THREADS = 1;

/**
 * Verifies IMA lists without keeping everybody else waiting: the entries of large ones are digested in a thread. It is
 * started with the first large list, and when there is none, never.
 */
export class ImaVerifier {
  #workers: ImaWorkers | undefined;

  /** @throws Refusal as `verifyIma` does */
  async verify(list: Uint8Array, question: ImaQuestion): Promise<VerifiedIma> {
    if (list.length <= SMALL) return verifyIma([list], question);
    return await verifyImaWith(chunked(list), question, (this.#workers ??= new ImaWorkers(THREADS)));
  }

  async close(): Promise<void> {
    await this.#workers?.close();
  }
}

/** The list in chunks; it can be iterated again. */
function chunked(list: Uint8Array): Iterable<Uint8Array> {
  return {
    *[Symbol.iterator]() {
      const reader = new Reader(list, 'IMA list');
      while (reader.remaining > 0) yield reader.bytes(Math.min(CHUNK, reader.remaining));
    },
  };
}
