import { refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { agentAccess } from '../enrollment/index.ts';
import { IMA_PCR, imaStateDigest } from '../evidence/index.ts';
import { CHALLENGE_LIFETIME_MS, makeNonce, quotedSelection, requirePolicy } from '../lifecycle/index.ts';
import type { ActivePolicy, ChallengePurpose, DecisionDeps, HostFacts } from '../lifecycle/index.ts';
import { platformOf } from '../policy/index.ts';
import { formatPcrSelection } from '../tpm/index.ts';
import type { Caller } from './caller.ts';
import { refuseAttestationOnly } from './caller.ts';

/**
 * A challenge: the nonce, and what the host needs to know to answer it. Everything but the nonce is advice; the
 * decision uses what holds then.
 * @throws Refusal `host-quarantined`, `caller-expired`, `host-unknown`, `no-policy`, `policy-window`, `policy-platform`
 */
export async function answerChallenge(
  purpose: ChallengePurpose,
  { agent, host }: Extract<Caller, { kind: 'agent' }>,
  deps: DecisionDeps,
  trustBundleVersion: number,
): Promise<JsonObject> {
  if (purpose === 'execution' && agentAccess(agent, host.host) !== 'full')
    refuseAttestationOnly(host.host.state);
  const now = deps.clock.now();
  const policy = await requirePolicy(now, deps);
  const facts = await deps.hosts.get(agent.hostId);
  if (facts === undefined) return refuse('host-unknown', 'no such host is enrolled');
  const named = { id: facts.hostId, platform: facts.platform, labels: [] };
  const platform = platformOf(policy.bundle, named, now);
  const { keys, epoch } = deps.challenge;
  const [key] = keys;
  if (key === undefined) throw new TypeError('there is no key that makes challenges');
  const selection =
    purpose === 'execution' ? quotedSelection(platform.quoted) : quotedSelection(platform.quoted, [IMA_PCR]);
  return {
    nonce: makeNonce(key, { purpose, hostId: facts.hostId, epoch }, now, deps.random),
    expiresAt: new Date(now + CHALLENGE_LIFETIME_MS).toISOString(),
    verifierTime: new Date(now).toISOString(),
    trustBundleVersion,
    pcrSelection: formatPcrSelection(selection),
    policyHash: policy.bundle.hash,
    ...(await whatToSend(facts, policy, deps)),
  };
}

/** What of the logs the verifier has already, for a host that was not restarted since. */
async function whatToSend(
  { eventLog, ima, platform }: HostFacts,
  policy: ActivePolicy,
  deps: DecisionDeps,
): Promise<JsonObject> {
  const kept = eventLog !== null && (await deps.bodies.get(eventLog)) !== undefined;
  // Findings were made by the rules of that time: under other rules the list is judged anew, from its beginning.
  const known =
    ima !== null && policy.imaRules(platform, deps.clock.now())?.digest === ima.rules ? ima : null;
  return {
    eventLog: kept ? 'unchanged' : 'required',
    ima: {
      offset: known?.entries ?? 0,
      digest: known === null ? '' : imaStateDigest(known),
    },
  };
}
