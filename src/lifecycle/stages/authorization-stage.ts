import type { BudgetUse, Precondition } from '../../audit/index.ts';
import {
  MAX_LIFETIME_SECONDS,
  issueAuthorization,
  meet,
  signingInputHash,
} from '../../authorization/index.ts';
import type { Actor, AuthorizationClaims, ExecutionDetails } from '../../authorization/index.ts';
import { earClaims, earDigest, signEar } from '../../appraisal/index.ts';
import { fromHex, refuse, toBase64url } from '../../base/index.ts';
import { hostSpiffeId } from '../../credential/index.ts';
import { bothLimits, presentationOf } from '../../policy/index.ts';
import type { PolicyBundle } from '../../policy/index.ts';
import type { Environment } from './environment-stage.ts';
import type { ClaimedEvidence } from '../evidence-collection.ts';
import { CHILDREN, HOST_EXECUTIONS } from '../execution-record.ts';
import type { ExecutionRecord } from '../execution-record.ts';
import type { VerifiedParent } from '../parent.ts';
import type { PolicyApproval, Verified, VerifiedRequest } from './policy-stage.ts';
import type { DecisionDeps, RecordVersion } from '../ports.ts';

/** What is minted in memory: worth nothing before the commit. */
export interface MintedAuthorization {
  readonly token: string;
  readonly claims: AuthorizationClaims;
  /** EAR as JWT. */
  readonly attestationResult: string;
  /** Evidence and the result, by name: what leaf and authorization name. */
  readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
}

/** What an attestation result is about, besides the appraisal. */
export interface ResultTerms {
  readonly hostId: string;
  readonly nonce: string;
  /** Thumbprint of the key that it is about: the workload's, or the agent's for a host attestation. */
  readonly confirmation: string;
  readonly policyHash: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  readonly expires: number;
}

/** The appraisal as a signed EAR, for this host and nonce only. */
export async function signResult(
  { appraisal }: Environment,
  { hostId, policyHash, ...terms }: ResultTerms,
  deps: DecisionDeps,
): Promise<string> {
  const context = {
    ...terms,
    audience: hostSpiffeId(deps.trustDomain, hostId),
    jti: toBase64url(deps.ids.bytes(16)),
    verifier: deps.verifier,
    policyHash: fromHex(policyHash.slice('sha256:'.length)),
  };
  return await signEar(earClaims(appraisal, context), deps.keys.ear);
}

/** The evidence and the result by digest, as leaf and authorization name them. */
export function namedEvidence(
  { items }: ClaimedEvidence,
  attestationResult: string,
): MintedAuthorization['evidence'] {
  return [
    ...items.map(({ name, sha256 }) => ({ name, sha256 })),
    { name: 'attestation-result', sha256: earDigest(attestationResult) },
  ];
}

/**
 * Stage `authorization`: the attestation result and the authorization artifact, ≤ 300 s and within its parents.
 * @throws Refusal `expired`, `not_narrower`, `depth_invalid`, `principal_altered`, `authorization-form`
 */
export async function mintAuthorization(
  verified: VerifiedRequest,
  approval: PolicyApproval,
  deps: DecisionDeps,
): Promise<MintedAuthorization> {
  const { admitted, environment, principals } = verified;
  const { request, policy, now } = admitted;
  const terms: ResultTerms = {
    hostId: request.hostId,
    nonce: request.nonce,
    confirmation: principals.workload.thumbprint,
    policyHash: policy.bundle.hash,
    issuedAt: Math.floor(now / 1000),
    expires: expiryOf(verified, null),
  };
  const attestationResult = await signResult(environment, terms, deps);
  const evidence = namedEvidence(admitted.evidence, attestationResult);
  const status = await deps.status.assign(request.executionId);
  const minted = await signAuthorization(verified, approval, { evidence, status, started: null }, deps);
  return { ...minted, attestationResult, evidence };
}

/** What a first authorization and its renewals don't have in common. */
export interface MintTerms {
  readonly evidence: MintedAuthorization['evidence'];
  readonly status: ExecutionRecord['status'];
  /** Unix seconds of the first authorization; null when this is the first. */
  readonly started: number | null;
}

/**
 * Signs one authorization, the first of an execution or a renewal.
 * @throws Refusal as {@link mintAuthorization}
 */
export async function signAuthorization(
  verified: Verified,
  approval: PolicyApproval,
  { evidence, status, started }: MintTerms,
  deps: DecisionDeps,
): Promise<Pick<MintedAuthorization, 'token' | 'claims'>> {
  const { admitted, principals } = verified;
  const issuedAt = Math.floor(admitted.now / 1000);
  const claims: AuthorizationClaims = {
    ...claimsOf(verified, approval, deps),
    iat: issuedAt,
    nbf: issuedAt,
    exp: expiryOf(verified, started),
    jti: toBase64url(deps.ids.bytes(16)),
    status: { status_list: status },
    evidence,
  };
  const { parent } = principals;
  const chained = parent === null ? undefined : { token: parent.token, claims: parent.claims };
  const token = await issueAuthorization(claims, deps.keys.authorization, chained);
  return { token, claims };
}

/**
 * Unix seconds: the earliest of all ends that it depends on.
 * @param started of the first authorization, for a renewal
 * @throws Refusal `expired`
 */
function expiryOf(
  { admitted: { now, policy }, principals: { parent } }: Verified,
  started: number | null,
): number {
  const issuedAt = Math.floor(now / 1000);
  const { authorizationLifetime, executionLifetime } = policy.bundle.document.limits;
  const root = parent?.lineage[0];
  // The parent's is the tightest above: no link's is wider than the one before it.
  const lifetime = parent?.claims.authorization_details[0].constraints.lifetime;
  const expires = Math.min(
    issuedAt + Math.min(authorizationLifetime, MAX_LIFETIME_SECONDS),
    (started ?? issuedAt) + executionLifetime,
    Math.floor(policy.bundle.validity.notAfter / 1000),
    parent?.claims.exp ?? Infinity,
    root === undefined || lifetime === undefined ? Infinity : root.record.started + lifetime,
  );
  if (!(expires > issuedAt))
    refuse('expired', 'nothing of the execution’s, its parent’s or the policy’s time is left');
  return expires;
}

function claimsOf(
  { admitted, artifact, principals, host }: Verified,
  { deciding }: PolicyApproval,
  deps: DecisionDeps,
): Omit<AuthorizationClaims, 'iat' | 'nbf' | 'exp' | 'jti' | 'status' | 'evidence'> {
  const { request, policy } = admitted;
  const { parent, origin, workload, initiator } = principals;
  const before = parent?.claims;
  const actor: Actor | undefined =
    before === undefined
      ? initiator === null
        ? undefined
        : { sub: origin }
      : { sub: before.client_id, ...(before.act === undefined ? {} : { act: before.act }) };
  return {
    iss: deps.issuer,
    sub: origin,
    aud: hostSpiffeId(deps.trustDomain, host.hostId),
    client_id: request.executionId,
    ...(actor === undefined ? {} : { act: actor }),
    txn: before?.txn ?? request.executionId,
    cnf: { jkt: workload.thumbprint },
    eat_nonce: request.nonce,
    authorization_details: [detailsOf(parent, policy.bundle, request)],
    del_depth: before === undefined ? 0 : before.del_depth + 1,
    del_max_depth: Math.min(before?.del_max_depth ?? Infinity, policy.bundle.document.delegation.maxDepth),
    ...(parent === null ? {} : { par_hash: signingInputHash(parent.token) }),
    policy: { uri: policy.uri, digest: policy.bundle.hash, ids: deciding },
    gov: { trust_domain: deps.trustDomain, authorities: policy.authorities },
    attr: {
      ...attributionOf(policy.bundle, request.artifact.name),
      signers: artifact.signers.map(({ key }) => key),
    },
  };
}

/** Who answers for an artifact: policy's own word, never the requester's. */
function attributionOf(
  { document: { attribution } }: PolicyBundle,
  name: string,
): Omit<AuthorizationClaims['attr'], 'signers'> {
  return (Object.hasOwn(attribution, name) ? attribution[name] : undefined) ?? {};
}

/**
 * The rights: what is asked, cut by policy's limits and, for a child, by the parent's. Policy's audiences are its own
 * word about the artifact and nobody's request, so a child gets those that its parent has as well.
 */
function detailsOf(
  parent: VerifiedParent | null,
  { document }: PolicyBundle,
  request: Verified['admitted']['request'],
): ExecutionDetails {
  const above = parent?.claims.authorization_details[0].constraints ?? {};
  const asked: ExecutionDetails = {
    type: 'sealgate_execution',
    actions: ['execute'],
    artifact: request.artifact.digest,
    host: request.hostId,
    scopes: request.scopes,
    constraints: {
      children: document.delegation.maxChildren,
      lifetime: document.limits.executionLifetime,
      ...bothLimits(presentationOf(document, request.artifact.name), above),
    },
  };
  return parent === null ? asked : meet(parent.claims.authorization_details[0], asked);
}

/**
 * What the execution takes a unit of: the host's executions, and the children of each ancestor that has a limit. Under
 * the head lock, so that two decisions at one time never take the same unit.
 */
export function budgetsOf({ admitted, host, principals: { parent } }: Verified): readonly BudgetUse[] {
  const ofAncestors = (parent?.lineage ?? []).flatMap(({ executionId, claims }): BudgetUse[] => {
    const limit = claims.authorization_details[0].constraints.children;
    const reason = 'an ancestor may start no more executions';
    return limit === undefined
      ? []
      : [{ kind: CHILDREN, id: executionId, add: 1, limit, check: 'budget-spent', reason }];
  });
  const limit = admitted.policy.bundle.document.limits.executionsPerHost;
  const reason = `the host has ${String(limit)} executions that have not ended`;
  return [
    { kind: HOST_EXECUTIONS, id: host.hostId, add: 1, limit, check: 'host-executions', reason },
    ...ofAncestors,
  ];
}

/** The precondition that a record is as it was read; version 0: still absent. */
export function unchanged(
  { kind, id, version }: RecordVersion,
  check: Precondition['check'],
  reason: string,
): Precondition {
  return version === 0
    ? { kind, id, is: 'absent', check, reason }
    : { kind, id, is: 'version', version, check, reason };
}
