import { parseLeaf } from '../audit/index.ts';
import type { Committed } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import type { StoreOperations } from '../store/index.ts';

/**
 * The verifier's time: the wall clock, but never before the newest leaf. A clock that was set forward and back again
 * makes nothing valid that had ended in between (PROTOCOL 8, "Restore").
 */
export class LogClock implements Clock {
  readonly #wall: Clock;
  #newest = 0;

  constructor(wall: Clock) {
    this.#wall = wall;
  }

  /** Reads the newest leaf's time once, at start. */
  async load(store: StoreOperations): Promise<void> {
    const size = Number((await store.head())?.size ?? 0);
    const [last] = size === 0 ? [] : await store.leaves(size - 1, 1);
    if (last !== undefined) this.#see(last);
  }

  now(): number {
    return Math.max(this.#wall.now(), this.#newest);
  }

  /** Unix ms of the newest leaf; 0 before the first. What had ended then may be forgotten: it never begins again. */
  get newestLeaf(): number {
    return this.#newest;
  }

  /** Leaves that were committed. */
  committed(all: readonly Committed[]): void {
    const last = all.findLast(({ leaf }) => leaf !== undefined)?.leaf;
    if (last !== undefined) this.#see(last);
  }

  #see(leaf: Uint8Array): void {
    this.#newest = Math.max(this.#newest, Date.parse(parseLeaf(leaf).time));
  }
}
