import type { Change } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { toDenial } from './denial.ts';
import type { Denial, Stage } from './denial.ts';
import type { DecisionDeps } from './ports.ts';
import type { PreparedDenial } from './prepared.ts';

/**
 * The denial that an error becomes: every exception of a stage is one.
 * @param changeOf makes its leaf; undefined where nothing was proved that could be told
 */
export function deny(
  error: unknown,
  stage: Stage,
  deps: Pick<DecisionDeps, 'onFault'>,
  changeOf: (denial: Denial) => Change | undefined,
): PreparedDenial {
  const denial = denialOf(error, stage, deps);
  try {
    const change = changeOf(denial);
    return { outcome: 'deny', denial, ...(change === undefined ? {} : { change }) };
  } catch (fault) {
    // The denial holds all the same; only its leaf could not be made.
    deps.onFault?.(fault, 'audit');
    return { outcome: 'deny', denial };
  }
}

/** A refusal as the table has it; anything else is a fault of this program, of which the sender learns no more. */
export function denialOf(error: unknown, stage: Stage, { onFault }: Pick<DecisionDeps, 'onFault'>): Denial {
  if (error instanceof Refusal) return toDenial(error, stage);
  onFault?.(error, stage);
  return { ...toDenial(new Refusal('internal', 'a fault of the verifier; nothing was released')), stage };
}
