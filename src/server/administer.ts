import { refuse } from '../base/index.ts';
import type { ActivePolicy } from '../lifecycle/policy-port.ts';
import { adminRequest } from '../policy/index.ts';
import type { AdminAction, AdminFacts } from '../policy/index.ts';
import { operatorOf } from './route.ts';
import type { Call } from './route.ts';

/**
 * Actions that a policy which can't be evaluated doesn't stop: those that take trust away, and those by which
 * authorities replace the policy itself. Everything else is refused then.
 */
const POSSIBLE_WITHOUT_POLICY: ReadonlySet<AdminAction> = new Set<AdminAction>([
  'Quarantine',
  'Revoke',
  'RemoveSecret',
  'Stage',
  'Publish',
]);

/**
 * Lets the active policy narrow what an operator's role allows: a `forbid` that applies refuses the action. A policy
 * that says nothing of an action leaves it to the roles; before the first bundle there are only roles. (Were a permit
 * needed, a bundle without one could never be replaced.)
 * @throws Refusal `policy-denied`; `policy-error` and those of `ActivePolicies.active` where the policy can't be
 *   evaluated and the action gives trust
 */
export async function requireNotForbidden(
  call: Pick<Call<unknown, unknown, unknown>, 'caller' | 'now' | 'services'>,
  action: AdminAction,
  target: AdminFacts['target'],
): Promise<void> {
  const { operator, roles } = operatorOf(call);
  const time = Math.floor(call.now / 1000);
  const request = adminRequest({ time, action, operator: { name: operator.name, roles }, target });
  const open = POSSIBLE_WITHOUT_POLICY.has(action);
  const policy = await activePolicy(call, open);
  if (policy === undefined) return;
  const { allow, ids, errors } = await policy.authorize(request);
  if (errors.length > 0 && !open)
    refuse('policy-error', 'the policy could not be evaluated', { errors: errors.slice(0, 16) });
  if (errors.length === 0 && !allow && ids.length > 0)
    refuse('policy-denied', 'a policy forbids this', { ids: [...ids] });
}

/** @param open whether a policy that can't be loaded is as none */
async function activePolicy(
  { services }: Pick<Call<unknown, unknown, unknown>, 'services'>,
  open: boolean,
): Promise<ActivePolicy | undefined> {
  try {
    return await services.governance.policies.active();
  } catch (error) {
    if (open) return undefined;
    throw error;
  }
}
