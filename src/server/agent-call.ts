import type { Caller as LifecycleCaller } from '../lifecycle/index.ts';
import type { Caller } from './caller.ts';
import { AdminProblem } from './problem.ts';

/** The agent of a call on an agent's route. */
export function agentOf({ caller }: { readonly caller: Caller }): Extract<Caller, { kind: 'agent' }> {
  if (caller.kind !== 'agent') throw new AdminProblem('not-permitted', 'this needs an agent');
  return caller;
}

/** The agent as the lifecycle takes it: what TLS proved, nothing of the request. */
export function lifecycleCaller(call: { readonly caller: Caller }): LifecycleCaller {
  const { agent, certificate } = agentOf(call);
  return { hostId: agent.hostId, agentKey: agent.keyId, notAfter: certificate.notAfter };
}
