import { refuse } from '../../base/index.ts';

/** Bytes of the list from offset `base` on. */
export interface Joined {
  readonly bytes: Uint8Array;
  readonly base: number;
}

/** Chunks are joined to at least this size, so that tiny ones cost no more than large ones. */
const MIN_JOIN = 64 * 1024;

/** Makes chunks of any size into stretches of the list to take whole entries off. */
export class ChunkJoiner {
  readonly #maxBytes: number;
  /** Chunks that are too small to start with, after the start of an entry whose end has not arrived. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #received = 0;
  /** What {@link take} joins into. */
  #memory = new Uint8Array();

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Offset of the first byte that waits. */
  get offset(): number {
    return this.#received - this.#waitingBytes;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /**
   * Adds a chunk; gives everything that waits, or undefined while that is too little to bother.
   * What it gives is valid until the next call, and the caller's memory is the caller's again then.
   */
  add(chunk: Uint8Array): Joined | undefined {
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) {
      refuse('malformed', `IMA list: over the limit of ${String(this.#maxBytes)} bytes`, {
        structure: 'IMA list',
      });
    }
    this.#waitingBytes += chunk.length;
    const enough = this.#waitingBytes >= MIN_JOIN;
    // What waits is a copy, so that the caller may fill the same memory with the next chunk.
    this.#waiting.push(enough ? chunk : Uint8Array.prototype.slice.call(chunk));
    return enough ? this.take() : undefined;
  }

  /**
   * Everything that waits, also when it is little. All stretches have the same memory, so that a long list makes no
   * work for the garbage collector, which would look at the whole allow-list each time.
   */
  take(): Joined {
    const [only, ...more] = this.#waiting;
    const bytes = only !== undefined && more.length === 0 ? only : this.#joined();
    const base = this.offset;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return { bytes, base };
  }

  /** Keeps a copy of what follows `at` until its end arrives; nothing else of the stretch stays in memory. */
  keep({ bytes }: Joined, at: number): void {
    if (at === bytes.length) return;
    // Buffer.slice would share memory.
    this.#waiting = [Uint8Array.prototype.slice.call(bytes, at)];
    this.#waitingBytes = bytes.length - at;
  }

  #joined(): Uint8Array {
    const size = this.#waitingBytes;
    if (this.#memory.length < size) this.#memory = new Uint8Array(size);
    let at = 0;
    for (const part of this.#waiting) {
      this.#memory.set(part, at);
      at += part.length;
    }
    return new Uint8Array(this.#memory.buffer, 0, size);
  }
}
