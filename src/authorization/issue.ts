import { canonicalJson, equalBytes, fromBase64url, refuse, utf8 } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';
import { AUTHORIZATION_TYPE, claimsJson } from './claims.ts';
import type { SigningKey } from './jws.ts';
import { signJws } from './jws.ts';
import { requireChildOf, requireOwnLimits, requireRoot } from './rules.ts';
import type { ParentAuthorization } from './rules.ts';

/**
 * Signs an authorization artifact. The claims are checked as a verifier will check them, so that nothing is ever signed
 * that a gateway would refuse, and a child is compared with its parent.
 * @param parent as it was verified; its claims must be those of its token
 * @throws Refusal `authorization-form`, `signature_invalid`, `par_hash_mismatch`, `depth_invalid`, `principal_altered`,
 *   `not_narrower`, `expired`, `ceiling_exceeded`
 */
export async function issueAuthorization(
  claims: AuthorizationClaims,
  key: SigningKey,
  parent?: ParentAuthorization,
): Promise<string> {
  const payload = claimsJson(claims);
  if (parent === undefined) requireRoot(claims);
  else {
    requireOneArtifact(parent);
    requireChildOf(parent, claims);
    if (claims.act === undefined) refuse('principal_altered', 'a child names who acted before it');
  }
  requireOwnLimits(claims);
  return await signJws(payload, AUTHORIZATION_TYPE, key);
}

/**
 * A token and claims that are handed on together are one artifact: the hash is of one, the rules look at the other. What
 * is signed is canonical, so equal claims are equal bytes.
 */
function requireOneArtifact({ token, claims }: ParentAuthorization): void {
  const own = fromBase64url(token.split('.')[1] ?? '', 'parent');
  if (!equalBytes(own, utf8(canonicalJson(claimsJson(claims)))))
    refuse('signature_invalid', 'the parent’s claims are not those of its token');
}
