import {
  AUTHORIZATION_TYPE,
  CLAIMS_LIMITS,
  SKEW_SECONDS,
  parseClaims,
  requireChildOf,
  requireOwnLimits,
  requireRoot,
  verifyJws,
} from '../authorization/index.ts';
import type { AuthorizationClaims } from '../authorization/index.ts';
import { fromBase64url, isJsonObject, parseJsonObject, refuse } from '../base/index.ts';
import type { DecisionLeaf } from '../audit/index.ts';
import { audienceOf, differing, sameSet } from './own-execution.ts';
import type { OwnExecution } from './own-execution.ts';

/**
 * The authorization artifact: signed by the authorization key of the trust bundle; of this issuer and domain; for this
 * host, workload key, nonce, policy, artifact, scopes and evidence; in its time; the first of a chain or the next after
 * the parent that was named.
 * @throws Refusal `signature_invalid`, `authorization-form`, `answer-authorization`, `expired`, `depth_invalid`,
 *   `par_hash_mismatch`, `principal_altered`, `not_narrower`, `ceiling_exceeded`
 */
export async function judgeAuthorization(
  token: string,
  leaf: DecisionLeaf,
  own: OwnExecution,
): Promise<AuthorizationClaims> {
  const { keys } = own.trust;
  const payload = await verifyJws(token, AUTHORIZATION_TYPE, keys.authorization, CLAIMS_LIMITS.maxBytes);
  const claims = parseClaims(payload);
  const differs = [...differing(identityComparisons(claims, own)), ...differing(rights(claims, leaf, own))];
  if (differs.length > 0)
    refuse('answer-authorization', `the authorization is for something else: ${differs.join(', ')}`, {
      differs,
    });
  requireOwnLimits(claims);
  requirePlace(claims, own);
  const now = Math.floor(own.now / 1000);
  const { iat, nbf, exp } = claims;
  if (now >= exp || nbf > now + SKEW_SECONDS || iat > now + SKEW_SECONDS)
    refuse('expired', 'outside its time', { now, iat, nbf, exp });
  return claims;
}

/** Who issued it, to whom, for which key. */
function identityComparisons(claims: AuthorizationClaims, own: OwnExecution): Record<string, boolean> {
  const { trust, request } = own;
  const root = request.parent === null;
  return {
    iss: claims.iss === trust.issuer,
    trustDomain: claims.gov.trust_domain === trust.trustDomain,
    aud: claims.aud === audienceOf(own),
    execution: claims.client_id === request.executionId,
    // Who starts a chain is its own lineage's root; a child's is compared with its parent's.
    lineage: !root || claims.txn === request.executionId,
    // Without an initiator or parent the host itself answers for it.
    origin: !root || request.initiator !== null || claims.sub === audienceOf(own),
    workload: claims.cnf.jkt === own.workloadThumbprint,
    nonce: claims.eat_nonce === request.nonce,
  };
}

/** What it allows and what it rests on. */
function rights(
  claims: AuthorizationClaims,
  leaf: DecisionLeaf,
  { request }: OwnExecution,
): Record<string, boolean> {
  const [details] = claims.authorization_details;
  const evidence = ({ name, sha256 }: { readonly name: string; readonly sha256: string }): string =>
    `${name}=${sha256.replace(/^sha256:/, '')}`;
  return {
    action: details.actions.includes('execute'),
    artifact: details.artifact === request.artifact.digest,
    host: details.host === request.hostId,
    scopes: sameSet(details.scopes, request.scopes),
    policy: claims.policy.digest === request.policyHash,
    evidence: sameSet(claims.evidence.map(evidence), leaf.digests.evidence.map(evidence)),
  };
}

function requirePlace(claims: AuthorizationClaims, { request }: OwnExecution): void {
  if (request.parent === null) {
    requireRoot(claims);
    return;
  }
  const parent = parseClaims(fromBase64url(request.parent.split('.')[1] ?? '', 'parent'));
  requireChildOf({ token: request.parent, claims: parent }, claims);
}

/** `typ` of an EAR. */
const RESULT_TYPE = 'eat+jwt';
const RESULT_LIMITS = { maxBytes: 64 * 1024, maxDepth: 8 };

/**
 * The attestation result: signed by the key for results, about this host, nonce and workload key, in its time.
 * @throws Refusal `signature_invalid`, `answer-result`, `malformed`
 */
export async function judgeResult(result: string, own: OwnExecution): Promise<void> {
  const payload = await verifyJws(result, RESULT_TYPE, own.trust.keys.ear, RESULT_LIMITS.maxBytes);
  const { aud, eat_nonce: nonce, exp, cnf } = parseJsonObject(payload, 'attestation result', RESULT_LIMITS);
  const differs = differing({
    aud: aud === audienceOf(own),
    nonce: nonce === own.request.nonce,
    workload: isJsonObject(cnf) && cnf['jkt'] === own.workloadThumbprint,
    time: typeof exp === 'number' && own.now < exp * 1000,
  });
  if (differs.length > 0)
    refuse('answer-result', `the attestation result is about something else: ${differs.join(', ')}`, {
      differs,
    });
}
