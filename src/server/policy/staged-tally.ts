import type { JsonObject } from '../../base/index.ts';
import type { Beside, BesideResult, ChallengePurpose, Denial } from '../../lifecycle/index.ts';

/** Differences that are remembered, the newest. */
const LATEST = 200;
/** UTF-16 units of a denial's detail; a larger one is left out. */
const MOST_DETAIL = 2048;

/** A decision as it was made. */
export interface Compared {
  readonly purpose: ChallengePurpose;
  readonly hostId: string;
  /** Unix ms. */
  readonly at: number;
  /** Why it was denied; null for an allow. */
  readonly denial: Denial | null;
  /** Index of its leaf, where it has one. */
  readonly auditIndex: string | null;
}

/** What came of the decisions that a staged bundle was asked about, in bounded memory: counts, and the newest differences. */
export class StagedTally {
  readonly #results = new Map<string, number>();
  /** By result and check: checks are the table of denials', so there are not many. */
  readonly #checks = new Map<string, { readonly result: string; readonly check: string; count: number }>();
  #latest: JsonObject[] = [];

  /** Decisions that were not judged again: too many waited. */
  dropped(): void {
    this.#add('dropped');
  }

  compared(decision: Compared, { result, denial }: Beside): void {
    this.#add(result);
    if (result === 'same') return;
    const check = (denial ?? decision.denial)?.check ?? '';
    const key = `${result} ${check}`;
    const counted = this.#checks.get(key) ?? { result, check, count: 0 };
    counted.count++;
    this.#checks.set(key, counted);
    if (!isDifference(result)) return;
    this.#latest.push(differenceJson(decision, result, denial));
    this.#latest = this.#latest.slice(-LATEST);
  }

  /** Counts by result and by check, and differences, the newest first. */
  json(): JsonObject {
    const count = (result: string): number => this.#results.get(result) ?? 0;
    const checks = [...this.#checks.values()].sort((a, b) => b.count - a.count);
    return {
      same: count('same'),
      deniedThen: count('denied-then'),
      allowedThen: count('allowed-then'),
      undetermined: count('undetermined'),
      failed: count('failed'),
      dropped: count('dropped'),
      checks: checks.map((one) => ({ ...one })),
      differences: this.#latest.toReversed(),
    };
  }

  #add(result: BesideResult | 'dropped'): void {
    this.#results.set(result, (this.#results.get(result) ?? 0) + 1);
  }
}

const isDifference = (result: BesideResult): boolean => result === 'denied-then' || result === 'allowed-then';

function differenceJson(
  { purpose, hostId, at, denial: now, auditIndex }: Compared,
  result: BesideResult,
  then: Denial | null,
): JsonObject {
  return {
    result,
    purpose,
    hostId,
    at: new Date(at).toISOString(),
    auditIndex,
    now: now === null ? null : denialJson(now),
    then: then === null ? null : denialJson(then),
  };
}

/** Operators see what was expected, too; the host, which is told less, never sees this. */
function denialJson({ stage, code, check, reason, detail }: Denial): JsonObject {
  const small = JSON.stringify(detail).length <= MOST_DETAIL;
  return { stage, code, check, reason, detail: small ? detail : {} };
}
