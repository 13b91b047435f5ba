import type { KeyObject } from 'node:crypto';
import { thumbprint, verifyHolderProof } from '../../authorization/index.ts';
import type { HolderBinding } from '../../authorization/index.ts';
import { Recent, equalBytes, refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { hostSpiffeId } from '../../credential/index.ts';
import { verifyInitiator } from '../../identity/index.ts';
import { hostId, objectName, parsePublic } from '../../tpm/index.ts';
import type { ChallengePurpose } from '../challenge.ts';
import { ekAuthorities, requireNotRevoked } from '../not-revoked.ts';
import { verifyParent } from '../parent.ts';
import type { VerifiedParent } from '../parent.ts';
import type { Caller, DecisionDeps, HostFacts } from '../ports.ts';
import type { ActivePolicy } from '../policy-port.ts';
import type { AdmittedRequest } from './request-stage.ts';
import { workloadKey } from '../workload-key.ts';
import { initiatorOf } from '../rests-on.ts';

/**
 * Stage `identity`, the host: enrolled, active, not revoked, and the pairs of its record agree. That its AK was not
 * revoked is a check of the quote (e3).
 * @param purpose a quarantined host may attest, nothing else
 * @throws Refusal `host-unknown`, `host-revoked`, `host-pending`, `host-quarantined`, `host-record`, `caller-key`,
 *   `dependency-revoked`
 */
export async function identifyHost(
  { hostId, policy, purpose }: HostQuestion,
  caller: Caller,
  deps: DecisionDeps,
): Promise<HostFacts> {
  const host = await deps.hosts.get(hostId);
  if (host === undefined) return refuse('host-unknown', 'no such host is enrolled');
  requireOneRecord(host, hostId);
  requireStanding(host, purpose);
  if (host.agentKey !== caller.agentKey)
    refuse('caller-key', 'the certificate’s key is not the enrolled one');
  await requireNotRevoked(
    [
      { kind: 'host', id: host.hostId },
      ...ekAuthorities(host),
      { kind: 'policy', id: policy.bundle.hash },
      ...policy.authorities.map((id) => ({ kind: 'authority', id }) as const),
    ],
    deps,
  );
  return host;
}

/** Which host asks, under which bundle, for what. */
export interface HostQuestion {
  readonly hostId: string;
  readonly policy: ActivePolicy;
  readonly purpose: ChallengePurpose;
}

/** @throws Refusal `host-revoked`, `host-pending`, `host-quarantined` */
function requireStanding({ state }: HostFacts, purpose: ChallengePurpose): void {
  if (state === 'revoked') refuse('host-revoked', 'the host was revoked');
  if (state === 'pending') refuse('host-pending', 'the host waits for an operator’s approval');
  if (state === 'quarantined' && purpose === 'execution')
    refuse('host-quarantined', 'nothing is released to a quarantined host');
}

/** Whether the host's attestation key was revoked by its name. */
export async function isRevokedKey({ akName }: HostFacts, { revocations }: DecisionDeps): Promise<boolean> {
  return (await revocations.revokedOf([{ kind: 'ak', id: toHex(akName) }])).length > 0;
}

/** EK, AK and ids were written together and are compared together (CVE-2022-1053). @throws Refusal `host-record` */
export function requireOneRecord(host: HostFacts, wanted: string): void {
  const ok =
    host.hostId === wanted &&
    hostIdOf(host.ekPublic) === wanted &&
    equalBytes(objectName(host.akPublic), host.akName);
  if (!ok) refuse('host-record', 'the keys of the host’s record don’t belong together');
}

/** The same hosts ask again and again: which id a public area gives, by its bytes. */
const hostIds = new Recent<string>(4096);

const hostIdOf = (ekPublic: Uint8Array): string =>
  hostIds.of(toHex(ekPublic), () => hostId(parsePublic(ekPublic)));

/** For whom an execution acts: what its token said when it was verified. */
export interface ActingInitiator {
  readonly issuer: string;
  readonly subject: string;
  readonly claims: JsonObject;
  /** Hex SHA-256 of the token. */
  readonly tokenSha256: string;
  /** True when the key that the token names made a proof for this request. */
  readonly proven: boolean;
  /** For a bearer token: its id and end in Unix seconds, so that it works once. */
  readonly once: { readonly tokenId: string; readonly expires: number } | null;
}

/** Who acts, for whom, under whom. */
export interface Principals {
  readonly workload: { readonly key: KeyObject; readonly thumbprint: string };
  readonly initiator: ActingInitiator | null;
  readonly parent: VerifiedParent | null;
  /** The accountable origin: the same along a chain. */
  readonly origin: string;
}

/**
 * Stage `identity`, the rest: each key that the request claims made a proof for this very request.
 * @throws Refusal those of initiators, authorizations, holder proofs; `workload-key`, `initiator-proof`,
 *   `dependency-revoked`
 */
export async function identifyPrincipals(admitted: AdmittedRequest, deps: DecisionDeps): Promise<Principals> {
  const { request, proofs, digest } = admitted;
  const binding: HolderBinding = {
    audience: deps.trustDomain,
    nonce: request.nonce,
    requestDigest: digest,
  };
  const key = workloadKey(request.workloadPublic);
  await verifyHolderProof(proofs.workload, binding, key);
  const initiator = await identifyInitiator(admitted, binding, deps);
  const parent = await verifyParent(admitted, binding, deps);
  const origin =
    parent?.claims.sub ??
    (initiator === null
      ? hostSpiffeId(deps.trustDomain, request.hostId)
      : `${initiator.issuer}#${initiator.subject}`);
  // A host that starts something for nobody is its origin, and is revoked as one by its SPIFFE id.
  await requireNotRevoked([{ kind: 'initiator', id: origin }], deps);
  return { workload: { key, thumbprint: await thumbprint(key) }, initiator, parent, origin };
}

async function identifyInitiator(
  { request, proofs, policy, now }: AdmittedRequest,
  binding: HolderBinding,
  deps: DecisionDeps,
): Promise<ActingInitiator | null> {
  if (request.initiator === null) return null;
  const initiator = await (deps.verifyInitiator ?? verifyInitiator)(
    request.initiator,
    policy.bundle.issuers,
    deps.trustDomain,
    Math.floor(now / 1000),
  );
  const { confirmationKey, issuer, subject } = initiator;
  if (confirmationKey !== undefined) {
    // A token that names a key is worth nothing without it, whatever else its issuer may do.
    if (proofs.initiator === null) return refuse('initiator-proof', 'the token’s key made no proof');
    await verifyHolderProof(proofs.initiator, binding, confirmationKey);
  } else if (proofs.initiator !== null) {
    refuse('initiator-proof', 'a proof beside a token that names no key');
  }
  await requireNotRevoked([initiatorOf({ issuer, subject })], deps);
  const { claims, tokenSha256, tokenId, expires } = initiator;
  const proven = confirmationKey !== undefined;
  return { issuer, subject, claims, tokenSha256, proven, once: proven ? null : { tokenId, expires } };
}
