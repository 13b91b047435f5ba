import { refuse } from '../base/index.ts';

/** Runs that one user may have at one time. */
const MAX_RUNS = 64;
/** Runs of all users: as many as one attestation names. One more, and none of them could be renewed. */
const MAX_RUNS_OF_ALL = 256;
/** Requests that may wait for the TPM, of all users and of one. */
const MAX_WAITING = 256;
const MAX_WAITING_OF_ONE = 32;

/** Bounds of {@link RunDesk}. */
export interface DeskLimits {
  readonly runs?: number;
  readonly runsOfAll?: number;
  readonly waiting?: number;
  readonly waitingOfOne?: number;
}

/** Takes one user's turn at the TPM. */
export type TakeTurn = <T>(task: () => Promise<T>) => Promise<T>;

/**
 * Who may run how much, and who is next at the TPM: users take turns, each user's own requests in their order, so that
 * nobody keeps the others waiting by asking often.
 */
export class RunDesk {
  readonly #limits: Required<DeskLimits>;
  readonly #runs = new Map<number, number>();
  /** Users in the order of their turns, each with who waits. */
  readonly #waiting = new Map<number, (() => void)[]>();
  #busy = false;

  constructor({
    runs = MAX_RUNS,
    runsOfAll = MAX_RUNS_OF_ALL,
    waiting = MAX_WAITING,
    waitingOfOne = MAX_WAITING_OF_ONE,
  }: DeskLimits = {}) {
    this.#limits = { runs, runsOfAll, waiting, waitingOfOne };
  }

  /** Counts a run until it has ended. @throws Refusal `run-limit` */
  async run<T>(uid: number, task: () => Promise<T>): Promise<T> {
    const { runs, runsOfAll } = this.#limits;
    const before = this.#runs.get(uid) ?? 0;
    if (before >= runs) refuse('run-limit', 'this user has too many executions at one time', { most: runs });
    const all = [...this.#runs.values()].reduce((sum, count) => sum + count, 0);
    if (all >= runsOfAll)
      refuse('run-limit', 'this host has too many executions at one time', { most: runsOfAll });
    this.#runs.set(uid, before + 1);
    try {
      return await task();
    } finally {
      const left = (this.#runs.get(uid) ?? 1) - 1;
      if (left === 0) this.#runs.delete(uid);
      else this.#runs.set(uid, left);
    }
  }

  /** Waits for this user's turn, and holds it as long as the task takes. @throws Refusal `run-queue` */
  async turn<T>(uid: number, task: () => Promise<T>): Promise<T> {
    if (this.#busy) await this.#wait(uid);
    this.#busy = true;
    try {
      return await task();
    } finally {
      this.#next();
    }
  }

  #wait(uid: number): Promise<void> {
    const { waiting, waitingOfOne } = this.#limits;
    const own = this.#waiting.get(uid) ?? [];
    const all = [...this.#waiting.values()].reduce((sum, { length }) => sum + length, 0);
    if (own.length >= waitingOfOne || all >= waiting)
      refuse('run-queue', 'too many executions wait for the TPM', { waiting: all });
    return new Promise((resolve) => {
      own.push(resolve);
      this.#waiting.set(uid, own);
    });
  }

  /** Hands the turn on; whoever had it goes to the end of the users. */
  #next(): void {
    const [first] = this.#waiting;
    if (first === undefined) {
      this.#busy = false;
      return;
    }
    const [uid, [next, ...rest]] = first;
    this.#waiting.delete(uid);
    if (rest.length > 0) this.#waiting.set(uid, rest);
    // Still busy: nobody who comes now gets in before.
    next?.();
  }
}
