import { refuse } from '../base/index.ts';
import type { Actor, AuthorizationClaims } from './claims.ts';
import { MAX_DEPTH, MAX_LIFETIME_SECONDS } from './claims.ts';
import { signingInputHash } from './jws.ts';
import { requireNarrower } from './narrowing.ts';

/** One link of a chain: its token and what it says. */
export interface ParentAuthorization {
  readonly token: string;
  readonly claims: AuthorizationClaims;
}

/** A rule for a link, with the link before it where there is one. */
type LinkRule = (claims: AuthorizationClaims, parent: ParentAuthorization | undefined) => void;

/** The rules between neighbours, in the order in which they are applied: each to the whole chain before the next. */
const LINK_RULES: readonly LinkRule[] = [
  requireParentHash,
  requireDepth,
  requirePrincipal,
  requireRights,
  requireTimes,
];

/**
 * Applies the rules to a chain whose first link begins it.
 * @throws Refusal `par_hash_mismatch`, `depth_invalid`, `principal_altered`, `not_narrower`, `expired`
 */
export function requireChain(links: readonly ParentAuthorization[]): void {
  for (const rule of LINK_RULES) {
    links.forEach(({ claims }, i) => {
      rule(claims, links[i - 1]);
    });
  }
}

/**
 * The rules between a link and the one before it, in their order.
 * @throws Refusal `par_hash_mismatch`, `depth_invalid`, `principal_altered`, `not_narrower`, `expired`
 */
export function requireChildOf(parent: ParentAuthorization, child: AuthorizationClaims): void {
  for (const rule of LINK_RULES) rule(child, parent);
}

/** The rules for a link that begins a chain. @throws Refusal as {@link requireChildOf} */
export function requireRoot(claims: AuthorizationClaims): void {
  for (const rule of LINK_RULES) rule(claims, undefined);
}

/** Limits that hold for each link by itself. @throws Refusal `depth_invalid`, `expired`, `ceiling_exceeded` */
export function requireOwnLimits(claims: AuthorizationClaims): void {
  requireOwnDepth(claims);
  requireOwnTime(claims);
  requireLifetime(claims, MAX_LIFETIME_SECONDS);
}

/** @param seconds longest life @throws Refusal `ceiling_exceeded` */
export function requireLifetime({ iat, exp }: AuthorizationClaims, seconds: number): void {
  if (exp - iat > seconds) refuse('ceiling_exceeded', `lives longer than ${String(seconds)} s`, { iat, exp });
}

function requireParentHash({ par_hash }: AuthorizationClaims, parent?: ParentAuthorization): void {
  if (parent === undefined) {
    if (par_hash !== undefined) refuse('par_hash_mismatch', 'a chain’s first artifact names a parent');
  } else if (par_hash !== signingInputHash(parent.token)) {
    refuse('par_hash_mismatch', 'par_hash is not the parent’s');
  }
}

function requireDepth(claims: AuthorizationClaims, parent?: ParentAuthorization): void {
  requireOwnDepth(claims);
  const { del_depth: depth, del_max_depth: max } = claims;
  const detail = { depth, max };
  if (parent === undefined) {
    if (depth !== 0) refuse('depth_invalid', 'a chain begins at depth 0', detail);
  } else if (depth !== parent.claims.del_depth + 1 || max > parent.claims.del_max_depth) {
    refuse('depth_invalid', 'not one deeper than the parent, or the limit was raised', detail);
  }
}

function requireOwnDepth({ del_depth: depth, del_max_depth: max }: AuthorizationClaims): void {
  if (max > MAX_DEPTH || depth > max) refuse('depth_invalid', 'deeper than allowed', { depth, max });
}

function requirePrincipal(child: AuthorizationClaims, parent?: ParentAuthorization): void {
  if (parent === undefined) return;
  const before = parent.claims;
  if (
    child.sub !== before.sub ||
    child.txn !== before.txn ||
    child.iss !== before.iss ||
    child.gov.trust_domain !== before.gov.trust_domain
  ) {
    refuse('principal_altered', 'sub, txn, issuer and trust domain stay the same along a chain');
  }
  // No right follows from `act`, but who reads the audit believes it: it tells the chain's own story or none.
  if (child.act !== undefined && !sameActors(child.act, actorsAfter(before)))
    refuse('principal_altered', 'act names other actors than the chain');
}

/** The actors before a child of `parent`, newest first (RFC 8693). */
export function actorsAfter({ client_id: sub, act }: AuthorizationClaims): Actor {
  return act === undefined ? { sub } : { sub, act };
}

function sameActors(a: Actor | undefined, b: Actor | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.sub === b.sub && sameActors(a.act, b.act);
}

function requireRights(child: AuthorizationClaims, parent?: ParentAuthorization): void {
  if (parent === undefined) return;
  requireNarrower(parent.claims.authorization_details[0], child.authorization_details[0]);
}

function requireTimes(child: AuthorizationClaims, parent?: ParentAuthorization): void {
  requireOwnTime(child);
  if (parent === undefined) return;
  const { iat, nbf, exp } = parent.claims;
  if (child.exp > exp || child.iat < iat || child.nbf < nbf)
    refuse('expired', 'a child lives within its parent’s time', { exp: child.exp, parentExp: exp });
}

function requireOwnTime({ iat, nbf, exp }: AuthorizationClaims): void {
  if (exp <= iat || exp <= nbf) refuse('expired', 'the artifact ends before it begins', { iat, nbf, exp });
}
