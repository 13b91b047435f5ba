import type { Host } from '../agent/index.ts';
import { ReleaseLost } from '../agent/open-release.ts';
import { Refusal } from '../base/index.ts';
import type { Clock } from '../base/index.ts';
import { askExecution } from './ask-execution.ts';
import type { ExecutionPlan, OpenedExecution } from './ask-execution.ts';
import { tellOutcome } from './execution.ts';

/** How often a child is asked for whose ancestors are renewed or report meanwhile. */
const MAX_ATTEMPTS = 5;

/**
 * {@link askExecution}, again where a parent was renewed under it; tells the verifier of a release that was lost.
 * @throws as {@link askExecution}
 */
export async function askAgain(
  host: Host,
  plan: ExecutionPlan,
  clock: Clock,
  attempt = 1,
): Promise<OpenedExecution> {
  const { parent } = plan;
  const named = parent?.authorization();
  try {
    return await askExecution(host, plan, clock);
  } catch (error) {
    // Elsewhere it may be renewed between its proof and the decision each time; one that has ended there proves nothing.
    const renewed = parent?.elsewhere === true || named !== parent?.authorization();
    if (renewed && parentMoved(error) && attempt < MAX_ATTEMPTS)
      return await askAgain(host, plan, clock, attempt + 1);
    if (error instanceof ReleaseLost) {
      const { executionId } = plan.request;
      const report = { executionId, event: 'ended', reason: 'release-lost' } as const;
      // The refusal is what counts; without a report the execution becomes `expired`.
      await tellOutcome(host, report, plan.workload).catch(() => undefined);
    }
    throw error;
  }
}

/** Denied for what an ancestor was a moment ago; that costs no budget, and another request may well be allowed. */
const parentMoved = (error: unknown): boolean => error instanceof Refusal && error.check === 'parent-state';
