import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Records } from '../../audit/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { watchDecision } from '../../lifecycle/index.ts';
import type {
  BesideResult,
  Caller,
  ChallengePurpose,
  CommittedAnswer,
  Decided,
  DecisionDeps,
  Judge,
  WatchedDecision,
} from '../../lifecycle/index.ts';
import { ImaVerifier } from '../ima/ima-verifier.ts';
import type { ActivePolicies } from './active-policy.ts';
import { STAGED_POLICY, readPointer } from './policy-records.ts';
import { StagedTally } from './staged-tally.ts';
import type { Compared } from './staged-tally.ts';

/** Decisions that may wait to be judged again with all that they read, and UTF-16 units of what came with them. */
const MOST_WAITING = 16;
const MOST_TEXT = 32 * 1024 * 1024;
/** After each one this many times as long belongs to everybody else: a sixth of the thread's time at the most. */
const REST = 5;

/** What the staged bundle is judged with. */
export interface StagedParts {
  readonly records: Records;
  readonly decisions: DecisionDeps;
  /** Not those of the active policy: an engine of its own, and nothing of the active one is forgotten for it. */
  readonly policies: Pick<ActivePolicies, 'load'>;
  readonly onError: (error: unknown) => void;
}

/** A decision to make, and how its submission is judged again. */
export interface DecisionToMake<A extends CommittedAnswer> {
  readonly purpose: ChallengePurpose;
  readonly caller: Caller;
  readonly body: JsonObject;
  readonly decide: (deps: DecisionDeps) => Promise<Decided<A>>;
  readonly judge: Judge;
}

/** The bundle that is staged, as often as one is: the record's version tells two stagings apart. */
interface Staging {
  readonly version: number;
  readonly digest: string;
  readonly tally: StagedTally;
}

interface Waiting {
  readonly staging: Staging;
  readonly watched: WatchedDecision;
  readonly judge: Judge;
  readonly decision: Compared;
  readonly size: number;
}

/**
 * While a bundle is staged, each decision is judged a second time under it, after its answer was committed, and where both
 * differ that is remembered until another bundle is staged or published. The active bundle alone counts: a second look
 * makes and writes nothing, waits in a bounded queue, and whatever becomes of it is told to nobody but operators.
 */
export class StagedDecisions {
  readonly #parts: StagedParts;
  /** A thread of its own: real lists don't wait for these. */
  readonly #ima = new ImaVerifier();
  readonly #totals = new Map<BesideResult | 'dropped', number>();
  #staging: Staging | null = null;
  #waiting: Waiting[] = [];
  #size = 0;
  #working: Promise<void> | undefined;
  readonly #stopped = new AbortController();

  constructor(parts: StagedParts) {
    this.#parts = parts;
  }

  /** Makes the decision; the same, whatever is staged. */
  async decide<A extends CommittedAnswer>(made: DecisionToMake<A>): Promise<Decided<A>> {
    const { decisions } = this.#parts;
    const staging = await this.#read();
    if (staging === null) return await made.decide(decisions);
    const at = decisions.clock.now();
    const watched = watchDecision(made.purpose, made.caller, decisions);
    const decided = await made.decide(watched.deps);
    const { auditIndex = null } = decided;
    const denial = decided.outcome === 'deny' ? decided.denial : null;
    const { purpose, judge, caller } = made;
    const decision = { purpose, hostId: caller.hostId, at, denial, auditIndex };
    try {
      this.#enqueue({ staging, watched, judge, decision, size: textOf(made.body) });
    } catch (error) {
      // It was committed: whatever is wrong here must not keep the answer.
      this.#parts.onError(error);
    }
    return decided;
  }

  /** What was found about the bundle that is staged now; null where none is. */
  async report(): Promise<JsonObject | null> {
    const staging = await this.#read();
    return staging === null
      ? null
      : { digest: staging.digest, waiting: this.#waiting.length, ...staging.tally.json() };
  }

  /** Decisions by what came of their second look, since the start. */
  totals(): ReadonlyMap<string, number> {
    return this.#totals;
  }

  /** When nothing waits any more. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  /** What waits is given up. */
  async close(): Promise<void> {
    this.#waiting = [];
    this.#stopped.abort();
    await this.settled();
    await this.#ima.close();
  }

  /** What is staged, as the store says; what belongs to an earlier staging is forgotten. Never throws. */
  async #read(): Promise<Staging | null> {
    try {
      const found = await readPointer(this.#parts.records, STAGED_POLICY);
      const digest = found?.body.digest ?? null;
      if (found === undefined || digest === null) return this.#become(null);
      const { version } = found.record;
      if (this.#staging?.version === version) return this.#staging;
      return this.#become({ version, digest, tally: new StagedTally() });
    } catch (error) {
      // A store that can't be read denies decisions; here it only means that none is looked at twice.
      this.#parts.onError(error);
      return null;
    }
  }

  #become(staging: Staging | null): Staging | null {
    if (this.#staging !== null) {
      this.#waiting = [];
      this.#size = 0;
    }
    this.#staging = staging;
    return staging;
  }

  #enqueue(one: Waiting): void {
    if (one.staging !== this.#staging || this.#stopped.signal.aborted) return;
    if (this.#waiting.length >= MOST_WAITING || this.#size + one.size > MOST_TEXT) {
      one.staging.tally.dropped();
      this.#count('dropped');
      return;
    }
    this.#waiting.push(one);
    this.#size += one.size;
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    // The answer goes out first.
    await this.#rest(1);
    for (let one = this.#waiting.shift(); one !== undefined; one = this.#waiting.shift()) {
      this.#size -= one.size;
      const began = performance.now();
      await this.#compare(one);
      await this.#rest((performance.now() - began) * REST);
    }
    this.#working = undefined;
  }

  async #rest(ms: number): Promise<void> {
    await sleep(ms, undefined, { ref: false, signal: this.#stopped.signal }).catch(() => undefined);
  }

  async #compare({ staging, watched, judge, decision }: Waiting): Promise<void> {
    const { policies, onError } = this.#parts;
    const beside = await policies
      .load(staging.digest)
      .then((candidate) =>
        watched.compare({
          judge,
          candidate,
          decided: decision.denial,
          verifyIma: (list, question) => this.#ima.verify(list, question),
          onFault: onError,
        }),
      )
      .catch((error: unknown) => {
        onError(error);
        return { result: 'failed' as const, denial: null };
      });
    try {
      staging.tally.compared(decision, beside);
      this.#count(beside.result);
    } catch (error) {
      onError(error);
    }
  }

  #count(result: BesideResult | 'dropped'): void {
    this.#totals.set(result, (this.#totals.get(result) ?? 0) + 1);
  }
}

/** UTF-16 units of all text in a document: evidence is nearly all of a submission. */
function textOf(value: JsonValue | undefined): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  return Object.values(value).reduce<number>((sum, one) => sum + textOf(one), 0);
}
