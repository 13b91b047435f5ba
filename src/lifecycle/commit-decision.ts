import type { Ledger } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { toDenial } from './denial.ts';
import type { DecisionDeps } from './ports.ts';
import { finishDecision } from './prepared.ts';
import type { CommittedAnswer, Decided, Prepared } from './prepared.ts';

/** Commits a prepared decision and turns it into its answer. A ledger that fails or whose outcome is unknown denies. */
export async function commitDecision<A extends CommittedAnswer>(
  prepared: Prepared<A>,
  deps: Pick<DecisionDeps, 'log' | 'onFault'>,
  ledger: Ledger,
): Promise<Decided<A>> {
  try {
    const committed = prepared.change === undefined ? undefined : await ledger.commit(prepared.change);
    return await finishDecision(prepared, committed, deps.log);
  } catch (error) {
    deps.onFault?.(error, 'audit');
    if (prepared.outcome === 'deny') return { outcome: 'deny', denial: prepared.denial };
    const refusal =
      error instanceof Refusal
        ? error
        : new Refusal('ledger-unavailable', 'the decision could not be committed or answered');
    return { outcome: 'deny', denial: toDenial(refusal, 'audit') };
  }
}
