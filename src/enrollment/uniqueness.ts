import type { CommitCheck, Precondition, RecordRef, Records } from '../audit/ledger.ts';
import { isJsonObject, refuse, toHex } from '../base/index.ts';
import type { Candidate } from './challenge.ts';
import { readHost } from './host-record.ts';
import type { StoredHost } from './host-record.ts';
import { RECORD } from './kinds.ts';

/**
 * What has to be nobody's for this candidate to become a host: the id (which is the EK), the name, the AK, the agent's
 * key (CVE-2025-13609). One list for three moments: before the challenge, at the answer, and under the ledger's lock.
 * A host that enrolls again keeps what it has and must still be as it was read.
 */
export function uniqueness(candidate: Candidate): readonly Precondition[] {
  const { ek, ak, agent, name, before } = candidate;
  const mine = before?.host;
  const akName = toHex(ak.name);
  return [
    before === undefined
      ? absent(RECORD.host(ek.hostId), 'enroll-host-known', 'this TPM is a host already')
      : unchanged(RECORD.host(ek.hostId), before),
    ...(mine === undefined ? [absent(RECORD.ak(akName), 'enroll-ak-known', AK_KNOWN)] : []),
    ...(mine !== undefined && mine.ak.name !== akName
      ? [absent(RECORD.ak(akName), 'enroll-ak-known', AK_KNOWN)]
      : []),
    ...(mine?.agent.keyId === agent.keyId
      ? []
      : [absent(RECORD.agentKey(agent.keyId), 'enroll-agent-key-known', 'another host has this agent key')]),
    ...(mine === undefined && isReserved(candidate)
      ? [absent(RECORD.name(name), 'enroll-name-taken', 'a host has this name')]
      : []),
  ];
}

const AK_KNOWN = 'this attestation key was enrolled before';

/** The name that a host without invitation asks for is its wish: an operator gives one with the approval. */
export function isReserved({ admission }: Candidate): boolean {
  return admission.by !== 'approval';
}

/**
 * The same conditions read now, so that a host learns early what is in its way. A thing of a revoked host tells that
 * this TPM was revoked, whichever EK or AK it comes with.
 * @throws Refusal `enroll-revoked`, or the condition's own check
 */
export async function requireUnique(records: Records, conditions: readonly Precondition[]): Promise<void> {
  for (const condition of conditions) {
    if (condition.is !== 'absent') continue;
    const taken = await records.get(condition);
    if (taken === undefined) continue;
    const owner = isJsonObject(taken.body) ? taken.body['hostId'] : undefined;
    if (typeof owner === 'string') await requireNotRevoked(records, owner);
    refuse(condition.check, condition.reason, { kind: condition.kind });
  }
}

/** @throws Refusal `enroll-revoked` when this host was revoked: that is final for its EK */
export async function requireNotRevoked(records: Records, hostId: string): Promise<StoredHost | undefined> {
  const stored = await readHost(records, hostId);
  if (stored?.host.state === 'revoked') refuse('enroll-revoked', 'this TPM was revoked', { hostId });
  return stored;
}

function absent(ref: RecordRef, check: CommitCheck, reason: string): Precondition {
  return { ...ref, is: 'absent', check, reason };
}

function unchanged(ref: RecordRef, { version }: StoredHost): Precondition {
  return {
    ...ref,
    is: 'version',
    version,
    check: 'state-moved',
    reason: 'the host changed during its enrollment',
  };
}
