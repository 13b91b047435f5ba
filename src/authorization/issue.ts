import { refuse } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';
import { AUTHORIZATION_TYPE, MAX_DEPTH, MAX_LIFETIME_SECONDS, claimsJson } from './claims.ts';
import type { SigningKey } from './jws.ts';
import { signJws, signingInputHash } from './jws.ts';
import { requireNarrower } from './narrowing.ts';

/** A parent as it was verified: its token and what it says. */
export interface ParentAuthorization {
  readonly token: string;
  readonly claims: AuthorizationClaims;
}

/**
 * Signs an authorization artifact. The claims are checked as a verifier will check them, so that nothing is ever signed
 * that a gateway would refuse, and a child is compared with its parent.
 * @throws Refusal `authorization-form`, `ceiling_exceeded`, `depth_invalid`, `principal_altered`, `not_narrower`,
 *   `expired`, `par_hash_mismatch`
 */
export async function issueAuthorization(
  claims: AuthorizationClaims,
  key: SigningKey,
  parent?: ParentAuthorization,
): Promise<string> {
  const payload = claimsJson(claims);
  requireOwnLimits(claims);
  if (parent === undefined) requireRoot(claims);
  else requireChildOf(parent, claims);
  return await signJws(payload, AUTHORIZATION_TYPE, key);
}

/** Limits that hold for each artifact by itself. @throws Refusal `ceiling_exceeded`, `depth_invalid`, `expired` */
export function requireOwnLimits(claims: AuthorizationClaims): void {
  if (claims.exp <= claims.iat || claims.nbf > claims.exp)
    refuse('expired', 'the artifact ends before it begins');
  if (claims.exp - claims.iat > MAX_LIFETIME_SECONDS) {
    refuse('ceiling_exceeded', `lives longer than ${String(MAX_LIFETIME_SECONDS)} s`);
  }
  if (claims.del_max_depth > MAX_DEPTH || claims.del_depth > claims.del_max_depth) {
    refuse('depth_invalid', 'deeper than allowed', { depth: claims.del_depth, max: claims.del_max_depth });
  }
}

/** @throws Refusal `depth_invalid`, `par_hash_mismatch` */
export function requireRoot(claims: AuthorizationClaims): void {
  if (claims.del_depth !== 0)
    refuse('depth_invalid', 'a chain begins at depth 0', { depth: claims.del_depth });
  if (claims.par_hash !== undefined) refuse('par_hash_mismatch', 'a chain’s first artifact names a parent');
}

/**
 * The rules between a link and the one before it (REFERENCE I), in their order.
 * @throws Refusal `par_hash_mismatch`, `depth_invalid`, `principal_altered`, `not_narrower`, `expired`
 */
export function requireChildOf(parent: ParentAuthorization, child: AuthorizationClaims): void {
  const before = parent.claims;
  if (child.par_hash !== signingInputHash(parent.token))
    refuse('par_hash_mismatch', 'par_hash is not the parent’s');
  if (child.del_depth !== before.del_depth + 1 || child.del_max_depth > before.del_max_depth) {
    refuse('depth_invalid', 'not one deeper than the parent, or the limit was raised', {
      depth: child.del_depth,
      max: child.del_max_depth,
    });
  }
  if (
    child.sub !== before.sub ||
    child.txn !== before.txn ||
    child.gov.trust_domain !== before.gov.trust_domain
  ) {
    refuse('principal_altered', 'sub, txn and trust domain stay the same along a chain');
  }
  requireNarrower(before.authorization_details[0], child.authorization_details[0]);
  if (child.exp > before.exp || child.iat < before.iat) {
    refuse('expired', 'a child lives within its parent’s time', { exp: child.exp, parentExp: before.exp });
  }
}
