import type { DecisionLeaf } from '../../audit/index.ts';
import { requireChildOf } from '../../authorization/index.ts';
import type { AuthorizationClaims } from '../../authorization/index.ts';
import { canonicalJson, refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { judgeAuthorization, openAuthorization } from './authorization.ts';
import type { OwnDecision } from './own-decision.ts';

/** An execution that may be renewed: its current authorization, which was judged when it came. */
export interface Renewable {
  readonly claims: AuthorizationClaims;
}

/** A renewal in which everything fits. */
export interface RenewedToken {
  readonly executionId: string;
  readonly jti: string;
  readonly authorization: string;
}

/**
 * Renewed authorizations, judged as closely as first ones: each of an execution that was named, and in all but nonce,
 * policy, evidence and time what it was before. A child whose parent was renewed with it follows the parent's new one.
 * @throws Refusal `answer-authorization`, `signature_invalid`, `authorization-form`, `expired`, `ceiling_exceeded`,
 *   `par_hash_mismatch`, `depth_invalid`, `principal_altered`, `not_narrower`
 */
export async function judgeRenewals(
  tokens: readonly string[],
  executions: readonly Renewable[],
  leaf: DecisionLeaf,
  own: OwnDecision,
): Promise<readonly RenewedToken[]> {
  const renewed = new Map<string, { readonly token: string; readonly claims: AuthorizationClaims }>();
  for (const token of tokens) {
    const claims = await openAuthorization(token, own);
    const { client_id: executionId } = claims;
    const before = executions.find((one) => one.claims.client_id === executionId)?.claims;
    if (before === undefined || renewed.has(executionId) || !leaf.executions.includes(executionId))
      return refuse('answer-authorization', 'a renewed authorization is not one that was asked for', {
        executionId,
      });
    judgeRenewal(claims, before, leaf, own);
    // Parents are named before their children; one on another host was renewed by that one.
    const parent = claims.del_depth === 0 ? undefined : renewed.get(claims.act?.sub ?? '');
    if (parent !== undefined) requireChildOf(parent, claims);
    renewed.set(executionId, { token, claims });
  }
  return [...renewed].map(([executionId, { token, claims }]) => ({
    executionId,
    jti: claims.jti,
    authorization: token,
  }));
}

function judgeRenewal(
  claims: AuthorizationClaims,
  before: AuthorizationClaims,
  leaf: DecisionLeaf,
  own: OwnDecision,
): void {
  const [details] = before.authorization_details;
  const expected = {
    executionId: before.client_id,
    workload: before.cnf.jkt,
    artifact: details.artifact,
    scopes: details.scopes,
  };
  judgeAuthorization(claims, leaf, own, expected, continuity(claims, before));
}

/** What stays the same as long as an execution lives. */
function continuity(claims: AuthorizationClaims, before: AuthorizationClaims): Record<string, boolean> {
  const constraints = ({ authorization_details: [{ constraints }] }: AuthorizationClaims): JsonObject => ({
    ...constraints,
  });
  return {
    origin: claims.sub === before.sub,
    lineage: claims.txn === before.txn,
    actors: sameJson(claims.act, before.act),
    depth: claims.del_depth === before.del_depth,
    maxDepth: claims.del_max_depth <= before.del_max_depth || claims.policy.digest !== before.policy.digest,
    // Limits are policy's: another one may set others, for which the authorities answer.
    constraints:
      claims.policy.digest !== before.policy.digest || sameJson(constraints(claims), constraints(before)),
    parent: (claims.par_hash === undefined) === (before.par_hash === undefined),
    status: sameJson(claims.status, before.status),
    // Each renewal is another artifact, and no earlier one.
    jti: claims.jti !== before.jti,
    issued: claims.iat >= before.iat,
  };
}

function sameJson(a: object | undefined, b: object | undefined): boolean {
  // Members are strings and numbers: JSON as it was parsed.
  const text = (value: object | undefined): string =>
    value === undefined ? '' : canonicalJson(value as JsonObject);
  return text(a) === text(b);
}
