import type { KeyObject } from 'node:crypto';
import { refuse } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';
import { AUTHORIZATION_TYPE, CLAIMS_LIMITS, MAX_DEPTH, SKEW_SECONDS, parseClaims } from './claims.ts';
import type { HolderBinding } from './holder-proof.ts';
import { thumbprint, verifyHolderProof } from './holder-proof.ts';
import { requireChildOf, requireOwnLimits, requireRoot } from './issue.ts';
import type { VerificationKey } from './jws.ts';
import { verifyJws } from './jws.ts';
import { scopesCovered } from './narrowing.ts';

/** Status of one authorization; anything that is not known to be valid denies. */
export type AuthorizationStatus = 'valid' | 'revoked' | 'unknown';

/** What a relying party or gateway brings; nothing of it comes from the token. */
export interface AuthorizationTrust {
  /** Authorization keys of the trust bundle; an empty list refuses everything. */
  readonly keys: readonly VerificationKey[];
  readonly issuer: string;
  readonly trustDomain: string;
  /** Who is asked to accept the artifact. */
  readonly audience: string;
  readonly status: (claims: AuthorizationClaims) => AuthorizationStatus;
  readonly ceilings: {
    readonly depth: number;
    /** Longest life of one artifact, seconds. */
    readonly lifetime: number;
    /** Scopes that may be used here at all. */
    readonly scopes: readonly string[];
  };
}

/** What is asked with an authorization: for which scopes, and the proof that the asker holds it. */
export interface AuthorizationUse {
  readonly scopes: readonly string[];
  readonly holder: { readonly key: KeyObject; readonly proof: string; readonly binding: HolderBinding };
}

declare const verified: unique symbol;
/** Claims of a chain's last link after every check; only {@link verifyAuthorization} makes it. */
export interface VerifiedAuthorization {
  readonly [verified]: true;
  readonly claims: AuthorizationClaims;
  /** From the root to the parent of `claims`. */
  readonly ancestors: readonly AuthorizationClaims[];
}

/**
 * Verifies a chain of authorization artifacts, root first, and one use of its last link, offline.
 *
 * Order (first failure denies): signature, par_hash, depth, principal, narrowing, time, holder, status of every link,
 * audience, scopes, ceilings. The names are REFERENCE I's outcomes and the check ids.
 * @param now Unix time in seconds
 * @throws Refusal
 */
export async function verifyAuthorization(
  chain: readonly string[],
  use: AuthorizationUse,
  trust: AuthorizationTrust,
  now: number,
): Promise<VerifiedAuthorization> {
  const links = await verifyLinks(chain, trust);
  for (const { iat, nbf, exp } of links) {
    if (now >= exp || nbf > now + SKEW_SECONDS || iat > now + SKEW_SECONDS) {
      refuse('expired', 'outside its time', { now, iat, nbf, exp });
    }
  }
  const claims = links[links.length - 1];
  if (claims === undefined) return refuse('signature_invalid', 'an empty chain');
  await requireHolder(claims, use);
  requireStatus(links, trust);
  if (claims.aud !== trust.audience)
    refuse('audience_mismatch', 'meant for another audience', { aud: claims.aud });
  if (use.scopes.length === 0 || !scopesCovered(claims.authorization_details[0].scopes, use.scopes)) {
    refuse('scope_not_granted', 'the authorization does not cover what is asked', { asked: [...use.scopes] });
  }
  requireCeilings(claims, use, trust);
  return { claims, ancestors: links.slice(0, -1) } as unknown as VerifiedAuthorization;
}

/** Signature and form of each link, then the rules between neighbours. */
async function verifyLinks(
  chain: readonly string[],
  trust: AuthorizationTrust,
): Promise<AuthorizationClaims[]> {
  if (chain.length > MAX_DEPTH + 1)
    refuse('depth_invalid', 'longer than any chain may be', { length: chain.length });
  const links: AuthorizationClaims[] = [];
  for (const token of chain) {
    const claims = parseClaims(
      await verifyJws(token, AUTHORIZATION_TYPE, trust.keys, CLAIMS_LIMITS.maxBytes),
    );
    if (claims.iss !== trust.issuer || claims.gov.trust_domain !== trust.trustDomain) {
      refuse('signature_invalid', 'of another issuer or trust domain', { iss: claims.iss });
    }
    links.push(claims);
  }
  links.forEach((claims, i) => {
    const parent = links[i - 1];
    const token = chain[i - 1];
    if (parent === undefined || token === undefined) requireRoot(claims);
    else requireChildOf({ token, claims: parent }, claims);
    requireOwnLimits(claims);
  });
  return links;
}

async function requireHolder(claims: AuthorizationClaims, { holder }: AuthorizationUse): Promise<void> {
  if ((await thumbprint(holder.key)) !== claims.cnf.jkt) {
    refuse('holder_binding_failed', 'the key is not the one that the authorization names');
  }
  await verifyHolderProof(holder.proof, holder.binding, holder.key);
}

function requireStatus(links: readonly AuthorizationClaims[], trust: AuthorizationTrust): void {
  for (const claims of links) {
    const status = trust.status(claims);
    if (status === 'revoked')
      refuse('revoked', 'the authorization or an ancestor is revoked', { jti: claims.jti });
    if (status !== 'valid')
      refuse('status_unknown', 'no current status of the authorization', { jti: claims.jti });
  }
}

function requireCeilings(
  claims: AuthorizationClaims,
  use: AuthorizationUse,
  { ceilings }: AuthorizationTrust,
): void {
  if (claims.del_depth > ceilings.depth) refuse('ceiling_exceeded', 'deeper than is accepted here');
  if (claims.exp - claims.iat > ceilings.lifetime)
    refuse('ceiling_exceeded', 'lives longer than is accepted here');
  if (!scopesCovered(ceilings.scopes, use.scopes))
    refuse('ceiling_exceeded', 'a scope that is not accepted here');
}
