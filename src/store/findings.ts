import { Refusal } from '../base/index.ts';

/** Something that is wrong with a store: which check says so, and about what. */
export interface StoreFinding {
  readonly check: string;
  readonly reason: string;
}

const MAX_FINDINGS = 100;

/** What is wrong with a store, the first hundred. */
export class Findings {
  readonly list: StoreFinding[] = [];

  add(check: string, reason: string): void {
    if (this.list.length < MAX_FINDINGS) this.list.push({ check, reason });
  }

  /** Notes what a check refuses, so that the others are made as well. */
  async of(check: () => Promise<void> | void): Promise<void> {
    try {
      await check();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.add(error.check, error.reason);
    }
  }
}
