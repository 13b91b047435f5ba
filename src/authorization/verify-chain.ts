import type { KeyObject } from 'node:crypto';
import { refuse } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';
import {
  AUTHORIZATION_TYPE,
  CLAIMS_LIMITS,
  MAX_DEPTH,
  MAX_LIFETIME_SECONDS,
  SCOPE_PATTERN,
  SKEW_SECONDS,
  parseClaims,
} from './claims.ts';
import type { HolderBinding } from './holder-proof.ts';
import { thumbprint, verifyHolderProof } from './holder-proof.ts';
import type { VerificationKey } from './jws.ts';
import { verifyJws } from './jws.ts';
import { scopesCovered } from './narrowing.ts';
import { asOutcome } from './outcome.ts';
import { requireChain, requireLifetime } from './rules.ts';
import type { ParentAuthorization } from './rules.ts';

/** Status of one authorization; anything that is not known to be valid denies. */
export type AuthorizationStatus = 'valid' | 'revoked' | 'unknown';

/**
 * Who an authorization must be meant for. The first form is exact. The second is for relying parties that workloads of
 * many hosts call: the authorization is addressed to the gateway of the very host that it names, in this trust domain;
 * that it was shown to this relying party is what the holder's proof says, whose audience must be among the
 * authorization's `audiences` where it has that constraint.
 */
export type ExpectedAudience = string | { readonly hostsOf: string };

/** What a relying party or gateway brings; nothing of it comes from the token. */
export interface AuthorizationTrust {
  /** Authorization keys of the trust bundle; an empty list refuses everything. */
  readonly keys: readonly VerificationKey[];
  readonly issuer: string;
  readonly trustDomain: string;
  /** Who is asked to accept the artifact. */
  readonly audience: ExpectedAudience;
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
 * Order: signature, par_hash, depth, principal, narrowing, time, holder, revocation and status of every link, audience,
 * scopes, ceilings; each check over the whole chain before the next. The first failure denies; its name is the
 * refusal's check ({@link REFUSED_OUTCOMES}), also where something could not be parsed.
 * @param now Unix time in seconds
 * @throws Refusal
 */
export async function verifyAuthorization(
  chain: readonly string[],
  use: AuthorizationUse,
  trust: AuthorizationTrust,
  now: number,
): Promise<VerifiedAuthorization> {
  const links = await verifyLinks(chain, trust, now);
  const claims = lastOf(links);
  await requireHolder(claims, use);
  requireStatus(links, trust);
  requireAudience(claims, trust, use.holder.binding.audience);
  requireScopes(claims, use.scopes);
  requireCeilings(links, use.scopes, trust);
  return { claims, ancestors: links.slice(0, -1) } as unknown as VerifiedAuthorization;
}

/** A chain that is what its issuer signed and is valid now; who holds it, and for what, is not known. */
export interface ExaminedChain {
  readonly claims: AuthorizationClaims;
  readonly ancestors: readonly AuthorizationClaims[];
}

/**
 * The checks of {@link verifyAuthorization} that need no holder: for who looks at a chain without being asked to
 * accept it (auditors, `sealgate verify authorization`). Its result lets nobody in.
 * @param now Unix time in seconds
 * @throws Refusal
 */
export async function examineChain(
  chain: readonly string[],
  trust: AuthorizationTrust,
  now: number,
): Promise<ExaminedChain> {
  const links = await verifyLinks(chain, trust, now);
  const claims = lastOf(links);
  requireStatus(links, trust);
  requireAudience(claims, trust, null);
  requireCeilings(links, [], trust);
  return { claims, ancestors: links.slice(0, -1) };
}

/** Signatures, the rules between neighbours, and time: what makes a chain one. */
async function verifyLinks(
  chain: readonly string[],
  trust: AuthorizationTrust,
  now: number,
): Promise<AuthorizationClaims[]> {
  if (chain.length > MAX_DEPTH + 1)
    refuse('depth_invalid', 'longer than any chain may be', { length: chain.length });
  const links: ParentAuthorization[] = [];
  for (const token of chain) links.push({ token, claims: await readLink(token, trust) });
  requireChain(links);
  const all = links.map(({ claims }) => claims);
  for (const claims of all) requireNow(claims, now);
  return all;
}

/** @throws Refusal `signature_invalid`, or the outcome of the rule that a misformed claim belongs to */
async function readLink(token: string, trust: AuthorizationTrust): Promise<AuthorizationClaims> {
  return await asOutcome('signature_invalid', async () => {
    const payload = await verifyJws(token, AUTHORIZATION_TYPE, trust.keys, CLAIMS_LIMITS.maxBytes);
    const claims = parseClaims(payload);
    if (claims.iss !== trust.issuer || claims.gov.trust_domain !== trust.trustDomain)
      refuse('signature_invalid', 'of another issuer or trust domain', { iss: claims.iss });
    return claims;
  });
}

/**
 * The end is strict: a token is never valid longer than it says. The tolerance is for a verifier's clock that is ahead.
 * @throws Refusal `expired`
 */
export function requireNow({ iat, nbf, exp }: AuthorizationClaims, now: number): void {
  if (now >= exp || nbf > now + SKEW_SECONDS || iat > now + SKEW_SECONDS)
    refuse('expired', 'outside its time', { now, iat, nbf, exp });
}

/** @throws Refusal `signature_invalid` for an empty chain: nothing is signed, so nothing is */
function lastOf(links: readonly AuthorizationClaims[]): AuthorizationClaims {
  return links[links.length - 1] ?? refuse('signature_invalid', 'an empty chain');
}

async function requireHolder(claims: AuthorizationClaims, { holder }: AuthorizationUse): Promise<void> {
  if ((await thumbprint(holder.key)) !== claims.cnf.jkt)
    refuse('holder_binding_failed', 'the key is not the one that the authorization names');
  await asOutcome('holder_binding_failed', () => verifyHolderProof(holder.proof, holder.binding, holder.key));
}

/** Revocation of any link speaks before an unknown status of another. */
function requireStatus(links: readonly AuthorizationClaims[], trust: AuthorizationTrust): void {
  const statuses = links.map((claims) => ({ jti: claims.jti, status: trust.status(claims) }));
  for (const { jti, status } of statuses)
    if (status === 'revoked') refuse('revoked', 'the authorization or an ancestor is revoked', { jti });
  for (const { jti, status } of statuses)
    if (status !== 'valid') refuse('status_unknown', 'no current status of the authorization', { jti });
}

/** @param shownTo audience of the holder's proof; null where there is none */
function requireAudience(
  claims: AuthorizationClaims,
  { audience }: AuthorizationTrust,
  shownTo: string | null,
): void {
  const [{ host, constraints }] = claims.authorization_details;
  const expected = typeof audience === 'string' ? audience : `spiffe://${audience.hostsOf}/host/${host}`;
  if (claims.aud !== expected)
    refuse('audience_mismatch', 'meant for another audience', { aud: claims.aud, expected });
  if (typeof audience !== 'string' && shownTo !== null && constraints.audiences?.includes(shownTo) === false)
    refuse('audience_mismatch', 'not to be shown to this relying party', { audience: shownTo });
}

/** Something is asked, it is a scope (`a.*` covers names, not any text that begins with `a.`), and it is covered. */
function requireScopes(claims: AuthorizationClaims, scopes: readonly string[]): void {
  const [{ scopes: granted }] = claims.authorization_details;
  if (
    scopes.length === 0 ||
    !scopes.every((scope) => SCOPE_PATTERN.test(scope)) ||
    !scopesCovered(granted, scopes)
  )
    refuse('scope_not_granted', 'the authorization does not cover what is asked', { asked: [...scopes] });
}

function requireCeilings(
  links: readonly AuthorizationClaims[],
  scopes: readonly string[],
  { ceilings }: AuthorizationTrust,
): void {
  const claims = lastOf(links);
  for (const link of links) requireLifetime(link, MAX_LIFETIME_SECONDS);
  requireLifetime(claims, ceilings.lifetime);
  if (claims.del_depth > ceilings.depth) refuse('ceiling_exceeded', 'deeper than is accepted here');
  if (!scopesCovered(ceilings.scopes, scopes))
    refuse('ceiling_exceeded', 'a scope that is not accepted here');
}
