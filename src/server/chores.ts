/** Something that is done again and again. */
export interface Chore {
  readonly everyMs: number;
  run(): Promise<unknown>;
}

/** Runs chores on timers, each never beside itself. What fails is told and tried again the next time. */
export class Chores {
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #running = new Set<Promise<void>>();

  constructor(chores: readonly Chore[], onError: (error: unknown) => void) {
    for (const chore of chores) this.#timers.push(this.#repeat(chore, onError));
  }

  /** No chore begins any more; resolves when those under way have ended. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#running);
  }

  #repeat(chore: Chore, onError: (error: unknown) => void): NodeJS.Timeout {
    let busy = false;
    const once = async (): Promise<void> => {
      busy = true;
      try {
        await chore.run();
      } catch (error) {
        onError(error);
      } finally {
        busy = false;
      }
    };
    const timer = setInterval(() => {
      if (busy) return;
      const running: Promise<void> = once().finally(() => this.#running.delete(running));
      this.#running.add(running);
    }, chore.everyMs);
    // Chores alone don't keep the process alive.
    return timer.unref();
  }
}
