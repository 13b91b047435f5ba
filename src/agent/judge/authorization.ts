import {
  AUTHORIZATION_TYPE,
  CLAIMS_LIMITS,
  SKEW_SECONDS,
  parseClaims,
  requireOwnLimits,
  verifyJws,
} from '../../authorization/index.ts';
import type { AuthorizationClaims } from '../../authorization/index.ts';
import type { DecisionLeaf } from '../../audit/index.ts';
import { refuse } from '../../base/index.ts';
import { audienceOf, differing, sameSet } from './own-decision.ts';
import type { OwnDecision } from './own-decision.ts';

/** What an authorization has to be for, whether it is the first of an execution or a renewal. */
export interface ExpectedRights {
  readonly executionId: string;
  /** RFC 7638 thumbprint of the workload key. */
  readonly workload: string;
  /** `sha256:hex` */
  readonly artifact: string;
  readonly scopes: readonly string[];
}

/**
 * Opens an authorization artifact that the pinned key signed. @throws Refusal `signature_invalid`, `authorization-form`
 */
export async function openAuthorization(token: string, { trust }: OwnDecision): Promise<AuthorizationClaims> {
  const { authorization } = trust.keys;
  return parseClaims(await verifyJws(token, AUTHORIZATION_TYPE, authorization, CLAIMS_LIMITS.maxBytes));
}

/**
 * An authorization artifact: of this issuer and domain; for this host, execution, workload key, nonce, policy, artifact,
 * scopes and evidence; within its own limits and in its time. What it continues is judged by who knows that.
 * @param more comparisons besides, by name
 * @throws Refusal `answer-authorization`, `expired`, `depth_invalid`, `ceiling_exceeded`
 */
export function judgeAuthorization(
  claims: AuthorizationClaims,
  leaf: DecisionLeaf,
  own: OwnDecision,
  expected: ExpectedRights,
  more: Readonly<Record<string, boolean>> = {},
): void {
  const differs = differing({
    ...identityComparisons(claims, own, expected),
    ...rights(claims, leaf, own, expected),
    ...more,
  });
  if (differs.length > 0)
    refuse('answer-authorization', `the authorization is for something else: ${differs.join(', ')}`, {
      differs,
    });
  requireOwnLimits(claims);
  const now = Math.floor(own.now / 1000);
  const { iat, nbf, exp } = claims;
  if (now >= exp || nbf > now + SKEW_SECONDS || iat > now + SKEW_SECONDS)
    refuse('expired', 'outside its time', { now, iat, nbf, exp });
}

/** Who issued it, to whom, for which key. */
function identityComparisons(
  claims: AuthorizationClaims,
  own: OwnDecision,
  { executionId, workload }: ExpectedRights,
): Record<string, boolean> {
  return {
    iss: claims.iss === own.trust.issuer,
    trustDomain: claims.gov.trust_domain === own.trust.trustDomain,
    aud: claims.aud === audienceOf(own),
    execution: claims.client_id === executionId,
    workload: claims.cnf.jkt === workload,
    nonce: claims.eat_nonce === own.nonce,
  };
}

/** What it allows and what it rests on. */
function rights(
  claims: AuthorizationClaims,
  leaf: DecisionLeaf,
  own: OwnDecision,
  { artifact, scopes }: ExpectedRights,
): Record<string, boolean> {
  const [details] = claims.authorization_details;
  const evidence = ({ name, sha256 }: { readonly name: string; readonly sha256: string }): string =>
    `${name}=${sha256.replace(/^sha256:/, '')}`;
  return {
    action: sameSet(details.actions, ['execute']),
    artifact: details.artifact === artifact,
    host: details.host === own.hostId,
    scopes: sameSet(details.scopes, scopes),
    policy: claims.policy.digest === leaf.policy?.digest,
    evidence: sameSet(claims.evidence.map(evidence), leaf.digests.evidence.map(evidence)),
  };
}
