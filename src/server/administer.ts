import { refuse } from '../base/index.ts';
import { adminRequest } from '../policy/index.ts';
import type { AdminAction, AdminFacts } from '../policy/index.ts';
import type { ActivePolicies } from './active-policy.ts';
import type { Caller } from './caller.ts';

/**
 * Lets the active policy narrow what an operator's role allows: a `forbid` that applies, or a policy that fails, refuses
 * the action. A policy that says nothing of an action leaves it to the roles; before the first bundle there are only
 * roles. (Were a permit needed, a bundle without one could never be replaced.)
 * @param now Unix ms
 * @throws Refusal `policy-denied`, `policy-error`, and those of `ActivePolicies.active`
 */
export async function requireNotForbidden(
  policies: Pick<ActivePolicies, 'active'>,
  { operator, roles }: Extract<Caller, { kind: 'operator' }>,
  action: AdminAction,
  target: AdminFacts['target'],
  now: number,
): Promise<void> {
  const policy = await policies.active();
  if (policy === undefined) return;
  const facts = { time: Math.floor(now / 1000), action, operator: { name: operator.name, roles }, target };
  const { allow, ids, errors } = await policy.authorize(adminRequest(facts));
  if (errors.length > 0)
    refuse('policy-error', 'the policy could not be evaluated', { errors: errors.slice(0, 16) });
  if (!allow && ids.length > 0) refuse('policy-denied', 'a policy forbids this', { ids: [...ids] });
}
