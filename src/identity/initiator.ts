import { createHash, createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { fromBase64url, isJsonObject, parseJsonObject, refuse } from '../base/index.ts';
import type { InitiatorIssuer, IssuerKey } from './issuers.ts';

/** Bound on an initiator's token, characters. */
export const MAX_TOKEN = 8192;
/** Tolerated difference between the issuer's clock and ours, seconds. */
const SKEW_SECONDS = 30;

declare const verified: unique symbol;
/** Who asked, after the token verified; only {@link verifyInitiator} makes it. */
export interface VerifiedInitiator {
  readonly [verified]: true;
  readonly issuer: string;
  readonly subject: string;
  /** Token id: what makes a bearer token work once. */
  readonly tokenId: string;
  /** Unix seconds. */
  readonly expires: number;
  /** Key that must prove possession for this request; undefined only for an issuer that is marked `bearer`. */
  readonly confirmationKey: KeyObject | undefined;
  /** Hex SHA-256 of the token: what the audit log keeps of it. */
  readonly tokenSha256: string;
  /** All claims as verified, for policy. */
  readonly claims: JsonObject;
}

/**
 * Verifies an initiator's JWT against the configured issuers.
 * @param audience this verifier's trust domain; the token's `aud` must name it
 * @param now Unix seconds
 * @throws Refusal `initiator-signature`, `initiator-claims`, `initiator-expired`, `initiator-audience`,
 *   `initiator-bearer`, `malformed`
 */
export async function verifyInitiator(
  token: string,
  issuers: readonly InitiatorIssuer[],
  audience: string,
  now: number,
): Promise<VerifiedInitiator> {
  const claimed = readUnverified(token);
  const issuer = issuers.find((candidate) => candidate.issuer === claimed.issuer);
  if (issuer === undefined) return refuse('initiator-signature', 'no configured issuer has this iss');
  const key = issuer.keys.find(({ kid }) => kid === claimed.kid);
  if (key === undefined) return refuse('initiator-signature', 'the issuer has no key with this kid');
  const claims = parseJsonObject(await verifySignature(token, key), 'initiator token', CLAIM_LIMITS);
  const subject = requireText(claims, 'sub');
  const tokenId = requireText(claims, 'jti');
  const expires = requireTimes(claims, issuer, now);
  requireAudience(claims['aud'], audience);
  const confirmationKey = confirmation(claims['cnf']);
  if (confirmationKey === undefined && !issuer.bearer) {
    refuse('initiator-bearer', 'a token without cnf, from an issuer whose tokens must prove possession');
  }
  const tokenSha256 = createHash('sha256').update(token).digest('hex');
  return {
    issuer: issuer.issuer,
    subject,
    tokenId,
    expires,
    confirmationKey,
    tokenSha256,
    claims,
  } as unknown as VerifiedInitiator;
}

const CLAIM_LIMITS = { maxBytes: MAX_TOKEN, maxDepth: 8, maxValues: 500 };

/** `iss` and `kid`: enough to choose the key, believed only after the signature verified under it. */
function readUnverified(token: string): { issuer: JsonValue | undefined; kid: JsonValue | undefined } {
  if (token.length > MAX_TOKEN) refuse('malformed', `initiator token: over ${String(MAX_TOKEN)} characters`);
  const [header, payload, signature, ...more] = token.split('.');
  if (header === undefined || payload === undefined || signature === undefined || more.length > 0) {
    return refuse('malformed', 'initiator token: not three parts');
  }
  fromBase64url(signature, 'initiator token');
  const { kid, crit } = parseJsonObject(
    fromBase64url(header, 'initiator token'),
    'initiator token header',
    CLAIM_LIMITS,
  );
  if (crit !== undefined) refuse('initiator-signature', 'a critical header member that is not understood');
  const claims = parseJsonObject(fromBase64url(payload, 'initiator token'), 'initiator token', CLAIM_LIMITS);
  return { issuer: claims['iss'], kid };
}

async function verifySignature(token: string, { key, algorithm }: IssuerKey): Promise<Uint8Array> {
  // Loaded with the first token: a verifier without one, and whoever only builds a policy, needs none of it.
  const { compactVerify, errors } = await import('jose');
  try {
    return (await compactVerify(token, key, { algorithms: [algorithm] })).payload;
  } catch (error) {
    if (error instanceof errors.JOSEError)
      return refuse('initiator-signature', 'the signature does not verify');
    throw error;
  }
}

function requireText(claims: JsonObject, name: string): string {
  const value = claims[name];
  if (typeof value !== 'string' || value.length === 0 || value.length > 512) {
    return refuse('initiator-claims', `${name} is missing or not a short text`, { claim: name });
  }
  return value;
}

/** `iat` and `exp` are required; a token that lives longer than configured is refused however fresh it is. */
function requireTimes(claims: JsonObject, issuer: InitiatorIssuer, now: number): number {
  const { iat, exp, nbf } = claims;
  if (typeof iat !== 'number' || typeof exp !== 'number' || (nbf !== undefined && typeof nbf !== 'number')) {
    return refuse('initiator-claims', 'iat and exp are needed, as numbers');
  }
  if (now >= exp) refuse('initiator-expired', 'the token has ended', { exp, now });
  if (iat > now + SKEW_SECONDS || (nbf ?? iat) > now + SKEW_SECONDS)
    refuse('initiator-expired', 'the token has not begun', { iat, now });
  if (exp - iat > issuer.maxLifetime)
    refuse('initiator-expired', 'the token lives longer than its issuer may let it', { iat, exp });
  return exp;
}

function requireAudience(aud: JsonValue | undefined, audience: string): void {
  const audiences: readonly JsonValue[] = Array.isArray(aud)
    ? (aud as JsonValue[])
    : aud === undefined
      ? []
      : [aud];
  if (!audiences.includes(audience)) refuse('initiator-audience', 'the token is for somebody else');
}

/** The key of RFC 7800 `cnf.jwk`; a confirmation that we can't check is refused, never skipped. */
function confirmation(cnf: JsonValue | undefined): KeyObject | undefined {
  if (cnf === undefined) return undefined;
  const jwk = isJsonObject(cnf) ? cnf['jwk'] : undefined;
  if (!isJsonObject(jwk) || Object.hasOwn(jwk, 'd'))
    return refuse('initiator-claims', 'cnf needs a public jwk', { claim: 'cnf' });
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return refuse('initiator-claims', 'cnf.jwk can’t be read', { claim: 'cnf' });
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    refuse('initiator-claims', 'cnf.jwk is not a P-256 key', { claim: 'cnf' });
  return key;
}
