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

  /** Adds a chunk; gives everything that waits, or undefined while that is too little to bother. */
  add(chunk: Uint8Array): Joined | undefined {
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) {
      refuse('malformed', `IMA list: over the limit of ${String(this.#maxBytes)} bytes`, {
        structure: 'IMA list',
      });
    }
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    return this.#waitingBytes < MIN_JOIN ? undefined : this.take();
  }

  /** Everything that waits, also when it is little. */
  take(): Joined {
    const [only, ...more] = this.#waiting;
    const bytes = only !== undefined && more.length === 0 ? only : Buffer.concat(this.#waiting);
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
}
