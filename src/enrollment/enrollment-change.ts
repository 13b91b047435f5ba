import { denialBody, leafBody } from '../audit/index.ts';
import type { EnrollmentLeaf, HostState, LeafActor } from '../audit/index.ts';
import type { Change, OnceOnly, Precondition } from '../audit/ledger.ts';
import type { JsonObject, Refusal } from '../base/index.ts';
import { toBase64url, toHex } from '../base/index.ts';
import type { Activated } from './activation.ts';
import type { Candidate } from './challenge.ts';
import { hostBody } from './host-record.ts';
import type { HostRecord } from './host-record.ts';
import { asJson } from './invitation.ts';
import { RECORD, operatorActor } from './kinds.ts';
import { isReserved, uniqueness } from './uniqueness.ts';

/** How long a host that waits for approval may poll, in milliseconds. */
const POLL_LIFETIME_MS = 24 * 3_600_000;
/** Platform in the leaf of a host whose operator hasn't said one. */
const NO_PLATFORM = 'unassigned';

/**
 * The change that makes an activated candidate a host: token, EK, AK, agent key, name and host in one transaction, or
 * nothing of it.
 * @param now Unix ms
 */
export function enrollmentChange(activated: Activated, now: number): { host: HostRecord; change: Change } {
  const { candidate } = activated;
  const { admission } = candidate;
  const host = hostOf(activated, now);
  const leaf = enrollmentLeaf(candidate, host.platform);
  const { clockInfo } = activated.quote.attest;
  const restart =
    admission.by !== 'approval' && admission.invitation.restartCounters ? { byOperator: true as const } : {};
  const change: Change = {
    leaf: leafBody(leaf),
    denialLeaf: denialBody(leaf),
    preconditions: [...uniqueness(candidate), ...invitationUnchanged(candidate)],
    once: onceOnly(activated),
    counters: {
      ek: host.hostId,
      resetCount: clockInfo.resetCount,
      restartCount: clockInfo.restartCount,
      clock: String(clockInfo.clock),
      safe: clockInfo.safe,
      ...restart,
    },
    writes: writesOf(activated, host),
    bodies: [],
  };
  return { host, change };
}

/** The leaf of an activation that was refused after its secret was right: the TPM is known then, so it is on record. */
export function refusedEnrollment(candidate: Candidate, refusal: Refusal): Change {
  const { admission } = candidate;
  const leaf = enrollmentLeaf(candidate, admission.by === 'approval' ? null : admission.invitation.platform);
  const denial = { check: refusal.check, reason: refusal.reason };
  return {
    leaf: leafBody({ ...leaf, outcome: 'deny', denial }),
    preconditions: [],
    once: [],
    writes: [],
    bodies: [],
  };
}

function hostOf({ candidate, quote, qualifiedName, parent }: Activated, now: number): HostRecord {
  const { admission, before, ek, ak, agent } = candidate;
  const invitation = admission.by === 'approval' ? undefined : admission.invitation;
  const { resetCount, restartCount, clock } = quote.attest.clockInfo;
  const tpm = ek.certificate?.tpm ?? null;
  return {
    v: 1,
    hostId: ek.hostId,
    // What an operator said later than the first invitation stays.
    name: before?.host.name ?? candidate.name,
    labels: before?.host.labels ?? invitation?.labels ?? {},
    platform: before === undefined ? (invitation?.platform ?? null) : before.host.platform,
    state: stateOf(candidate),
    generation: (before?.host.generation ?? 0) + 1,
    ek: {
      public: toBase64url(ek.publicBytes),
      template: ek.template,
      certificate: ek.certificate && {
        fingerprint: ek.certificate.fingerprint,
        root: ek.certificate.root,
        issuers: ek.certificate.issuers,
        quirks: ek.certificate.quirks,
      },
    },
    ak: {
      public: toBase64url(ak.publicBytes),
      name: toHex(ak.name),
      qualifiedName: toHex(qualifiedName),
      parent,
    },
    agent: { public: toBase64url(agent.spki), keyId: agent.keyId },
    boot: { resetCount, restartCount, clock: String(clock) },
    tpm: {
      manufacturer: tpm?.manufacturer ?? null,
      model: tpm?.model ?? null,
      version: tpm?.version ?? null,
      firmware: quote.attest.firmwareVersion.toString(16).padStart(16, '0'),
    },
    admission: {
      by: admission.by,
      invitedBy: invitation?.invitedBy ?? null,
      approvedBy: before?.host.admission.approvedBy ?? null,
      at: now,
    },
  };
}

/** A host that enrolls again keeps its state: a new AK is no way out of quarantine. */
function stateOf({ admission, before }: Candidate): HostState {
  if (before !== undefined) return before.host.state;
  return admission.by === 'approval' || admission.invitation.needsApproval ? 'pending' : 'active';
}

function enrollmentLeaf({ ek, ak, name, admission }: Candidate, platform: string | null): EnrollmentLeaf {
  const by: LeafActor =
    admission.by === 'approval'
      ? { kind: 'host', id: ek.hostId }
      : operatorActor(admission.invitation.invitedBy);
  return {
    v: 1,
    kind: 'enrollment',
    outcome: 'allow',
    hostId: ek.hostId,
    name,
    platform: platform ?? NO_PLATFORM,
    admission: admission.by,
    ekCertificate: ek.certificate === null ? null : `sha256:${ek.certificate.fingerprint}`,
    ak: toHex(ak.name),
    by,
  };
}

function invitationUnchanged({ admission }: Candidate): readonly Precondition[] {
  if (admission.by === 'approval') return [];
  const { ref, version } = admission;
  const reason = 'the invitation was used or withdrawn meanwhile';
  return [{ ...ref, is: 'version', version, check: 'state-moved', reason }];
}

function onceOnly({ candidate: { admission }, enrollmentId, expires }: Activated): readonly OnceOnly[] {
  const activation: OnceOnly = {
    ...RECORD.enrollment(enrollmentId),
    expires,
    check: 'replay-enrollment',
    reason: 'the activation was used before',
  };
  if (admission.by !== 'token') return [activation];
  const until = admission.invitation.expires ?? expires;
  const token: OnceOnly = {
    ...admission.ref,
    expires: until,
    check: 'replay-token',
    reason: 'the join token was used before',
  };
  return [token, activation];
}

function writesOf({ candidate, enrollmentId, secretHash }: Activated, host: HostRecord): Change['writes'] {
  const { admission } = candidate;
  const owner = { hostId: host.hostId };
  const expires = host.admission.at + POLL_LIFETIME_MS;
  const poll: JsonObject = { ...owner, keyId: host.agent.keyId, secretHash: toHex(secretHash), expires };
  // The record says it as well as the once-only id: ids are forgotten when they expire, clocks can go back.
  const used =
    admission.by === 'token'
      ? [{ ...admission.ref, body: asJson({ ...admission.invitation, state: 'used' }) }]
      : [];
  return [
    { ...RECORD.host(host.hostId), body: hostBody(host) },
    { ...RECORD.ak(host.ak.name), body: owner },
    { ...RECORD.agentKey(host.agent.keyId), body: owner },
    ...(isReserved(candidate) ? [{ ...RECORD.name(host.name), body: owner }] : []),
    ...used,
    { ...RECORD.enrollment(enrollmentId), body: poll },
  ];
}
