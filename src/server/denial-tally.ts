import { leafBody } from '../audit/index.ts';
import type { DenialSummaryLeaf, Ledger } from '../audit/index.ts';
import type { Problem } from './problem.ts';

/** Different refusals that one leaf can tell; there are not many more at all. */
const MOST = 256;

/**
 * Counts the refusals that are no leaf of their own, since their sender proved nothing or sent too many: each minute
 * with any of them becomes one leaf.
 */
export class DenialTally {
  #counts = new Map<string, number>();
  #from: number;

  /** @param now Unix ms */
  constructor(now: number) {
    this.#from = now;
  }

  /** A refusal as it was answered. */
  count({ body, denial, stage, code, check }: Problem): void {
    if (denial === null || 'auditIndex' in body) return;
    const key = JSON.stringify([stage, code, check]);
    if (this.#counts.has(key) || this.#counts.size < MOST)
      this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  /** Writes what was counted; nothing when nothing was. What a failed commit had is counted on. @param now Unix ms */
  async write(ledger: Ledger, now: number): Promise<void> {
    const counted = this.#counts;
    const from = this.#from;
    if (counted.size === 0) {
      this.#from = now;
      return;
    }
    this.#counts = new Map();
    this.#from = now;
    try {
      const leaf = leafBody(summary(counted, from, now));
      await ledger.commit({ leaf, preconditions: [], once: [], writes: [], bodies: [] });
    } catch (error) {
      for (const [key, count] of counted) this.#counts.set(key, (this.#counts.get(key) ?? 0) + count);
      this.#from = from;
      throw error;
    }
  }
}

function summary(counted: ReadonlyMap<string, number>, from: number, to: number): DenialSummaryLeaf {
  const counts = [...counted].map(([key, count]) => {
    // Made by count() above: three texts.
    const [stage, code, check] = JSON.parse(key) as [string, string, string];
    return { stage, code, check, count };
  });
  const iso = (time: number): string => new Date(time).toISOString();
  return { v: 1, kind: 'denial-summary', from: iso(from), to: iso(to), counts };
}
