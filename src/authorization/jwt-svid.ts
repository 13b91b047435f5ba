import { parseJsonObject, refuse, shape } from '../base/index.ts';
import type { Fail, Shape } from '../base/index.ts';
import { parseSpiffeId } from '../x509/index.ts';
import type { SpiffeId } from '../x509/index.ts';
import { SKEW_SECONDS } from './claims.ts';
import type { VerificationKey } from './jws.ts';
import { verifyJws } from './jws.ts';

const { integer, list, object, text } = shape;
const LIMITS = { maxBytes: 8 * 1024, maxDepth: 4 } as const;

const audiences: Shape<readonly string[]> = (value, path, fail) =>
  typeof value === 'string' ? [text()(value, path, fail)] : list(text(), 64, 1)(value, path, fail);
const CLAIMS = object(
  { sub: text({ max: 2048 }), aud: audiences, exp: integer() },
  { iat: integer(), jti: text() },
);

const fail: Fail = (path, want) => refuse('jwt-svid', `${path} is not ${want}`, { member: path });

/** What a relying party expects of a JWT-SVID. */
export interface JwtSvidTrust {
  /** Keys for JWT-SVIDs of this one trust domain: a bundle verifies its own domain only. */
  readonly keys: readonly VerificationKey[];
  readonly trustDomain: string;
  /** Itself: it must be among the token's audiences. */
  readonly audience: string;
}

/** A JWT-SVID whose signature, audience and time were checked. */
export interface VerifiedJwtSvid {
  readonly id: SpiffeId;
  /** Unix seconds. */
  readonly expires: number;
  readonly jti: string | null;
}

/**
 * Verifies a JWT-SVID (SPIFFE JWT-SVID §5): signature by a key for JWT-SVIDs, header of `alg`, `kid` and `typ` only;
 * `sub` a SPIFFE id of the trust domain; `aud` names the relying party; `exp` is not over. It is a bearer token: nothing
 * in it proves that who shows it is its subject.
 * @param now Unix seconds
 * @throws Refusal `signature_invalid`, `malformed`, `jwt-svid`, `spiffe-id`, `svid-trust-domain`, `audience_mismatch`,
 *   `expired`
 */
export async function verifyJwtSvid(
  token: string,
  trust: JwtSvidTrust,
  now: number,
): Promise<VerifiedJwtSvid> {
  const payload = await verifyJws(token, 'JWT', trust.keys, LIMITS.maxBytes);
  const { sub, aud, exp, iat, jti } = CLAIMS(parseJsonObject(payload, 'JWT-SVID', LIMITS), 'svid', fail);
  const id = parseSpiffeId(sub);
  if (id.trustDomain !== trust.trustDomain)
    refuse('svid-trust-domain', 'the SPIFFE ID is of another trust domain', { id: id.text });
  if (!aud.includes(trust.audience))
    refuse('audience_mismatch', 'meant for another audience', { aud: [...aud] });
  if (now >= exp || (iat !== undefined && iat > now + SKEW_SECONDS))
    refuse('expired', 'outside its time', { now, exp });
  return { id, expires: exp, jti: jti ?? null };
}
