import type { Precondition } from '../audit/index.ts';
import { MAX_LIFETIME_SECONDS, issueAuthorization, meet, signingInputHash } from '../authorization/index.ts';
import type { Actor, AuthorizationClaims, ExecutionDetails } from '../authorization/index.ts';
import { earClaims, earDigest, signEar } from '../appraisal/index.ts';
import { fromHex, refuse, toBase64url } from '../base/index.ts';
import { hostSpiffeId } from '../credential/index.ts';
import type { PolicyBundle } from '../policy/index.ts';
import { CHILDREN } from './execution-record.ts';
import type { VerifiedParent } from './parent.ts';
import type { PolicyApproval, Verified } from './policy-stage.ts';
import type { DecisionDeps, RecordVersion } from './ports.ts';

/** What is minted in memory: worth nothing before the commit. */
export interface MintedAuthorization {
  readonly token: string;
  readonly claims: AuthorizationClaims;
  /** EAR as JWT. */
  readonly attestationResult: string;
  /** Evidence and the result, by name: what leaf and authorization name. */
  readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
}

/**
 * Stage `authorization`: the attestation result and the authorization artifact, ≤ 300 s and within its parents.
 * @throws Refusal `expired`, `not_narrower`, `depth_invalid`, `principal_altered`, `authorization-form`
 */
export async function mintAuthorization(
  verified: Verified,
  approval: PolicyApproval,
  deps: DecisionDeps,
): Promise<MintedAuthorization> {
  const { admitted, environment, principals } = verified;
  const { request, policy, now } = admitted;
  const issuedAt = Math.floor(now / 1000);
  const expires = expiryOf(verified);
  const jti = toBase64url(deps.random.bytes(16));
  const attestationResult = await signEar(
    earClaims(environment.appraisal, {
      audience: hostSpiffeId(deps.trustDomain, request.hostId),
      nonce: request.nonce,
      jti: toBase64url(deps.random.bytes(16)),
      issuedAt,
      expires,
      confirmation: principals.workload.thumbprint,
      verifier: deps.verifier,
      policyHash: fromHex(policy.bundle.hash.slice('sha256:'.length)),
    }),
    deps.keys.ear,
  );
  const evidence = [
    ...admitted.evidence.items.map(({ name, sha256 }) => ({ name, sha256 })),
    { name: 'attestation-result', sha256: earDigest(attestationResult) },
  ];
  const claims: AuthorizationClaims = {
    ...(await claimsOf(verified, approval, deps)),
    iat: issuedAt,
    nbf: issuedAt,
    exp: expires,
    jti,
    evidence,
  };
  const { parent } = principals;
  const chained = parent === null ? undefined : { token: parent.token, claims: parent.claims };
  const token = await issueAuthorization(claims, deps.keys.authorization, chained);
  return { token, claims, attestationResult, evidence };
}

/** Unix seconds: the earliest of all ends that it depends on. @throws Refusal `expired` */
function expiryOf({ admitted: { now, policy }, principals: { parent } }: Verified): number {
  const issuedAt = Math.floor(now / 1000);
  const root = parent?.lineage[0];
  const lifetime = root?.claims.authorization_details[0].constraints.lifetime;
  const expires = Math.min(
    issuedAt + Math.min(policy.bundle.document.limits.authorizationLifetime, MAX_LIFETIME_SECONDS),
    Math.floor(policy.bundle.validity.notAfter / 1000),
    parent?.claims.exp ?? Infinity,
    root === undefined || lifetime === undefined ? Infinity : root.record.started + lifetime,
  );
  if (!(expires > issuedAt)) refuse('expired', 'nothing of the parent’s or the policy’s time is left');
  return expires;
}

async function claimsOf(
  { admitted, artifact, principals, host }: Verified,
  { deciding }: PolicyApproval,
  deps: DecisionDeps,
): Promise<Omit<AuthorizationClaims, 'iat' | 'nbf' | 'exp' | 'jti' | 'evidence'>> {
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
    status: { status_list: await deps.status.assign(request.executionId) },
    policy: { uri: policy.uri, digest: policy.bundle.hash, ids: deciding },
    gov: { trust_domain: deps.trustDomain, authorities: policy.authorities },
    attr: { signers: artifact.signers.map(({ key }) => key) },
  };
}

/** The rights: what is asked, cut by policy's limits and, for a child, by the parent's. */
function detailsOf(
  parent: VerifiedParent | null,
  { document }: PolicyBundle,
  request: Verified['admitted']['request'],
): ExecutionDetails {
  const asked: ExecutionDetails = {
    type: 'sealgate_execution',
    actions: ['execute'],
    artifact: request.artifact.digest,
    host: request.hostId,
    scopes: request.scopes,
    constraints: {
      children: document.delegation.maxChildren,
      lifetime: document.limits.executionLifetime,
    },
  };
  return parent === null ? asked : meet(parent.claims.authorization_details[0], asked);
}

/** The counters of children along the chain, each one more: compared and written in the commit. */
export interface ChildBudget {
  readonly preconditions: readonly Precondition[];
  readonly writes: readonly { readonly kind: string; readonly id: string; readonly body: { used: number } }[];
}

/** @throws Refusal `budget-spent` */
export async function spendBudgets(parent: VerifiedParent | null, deps: DecisionDeps): Promise<ChildBudget> {
  const preconditions: Precondition[] = [];
  const writes: ChildBudget['writes'][number][] = [];
  for (const { executionId, claims } of parent?.lineage ?? []) {
    const limit = claims.authorization_details[0].constraints.children;
    if (limit === undefined) continue;
    const { record, used } = await deps.executions.childrenOf(executionId);
    if (used >= limit) refuse('budget-spent', 'an ancestor may start no more executions', { limit });
    preconditions.push(
      unchanged(record, 'budget-spent', 'another child was started at the same time: ask again'),
    );
    writes.push({ kind: CHILDREN, id: executionId, body: { used: used + 1 } });
  }
  return { preconditions, writes };
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
