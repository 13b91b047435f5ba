import { createPublicKey } from 'node:crypto';
import type { JsonWebKey } from 'node:crypto';
import { fromBase64url, isJsonObject, refuse, shape } from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';
import type { JwsAlgorithm, VerificationKey } from './jws.ts';

const { list, object, oneOf, text } = shape;

const coordinate = text({ pattern: /^[A-Za-z0-9_-]{43}$/, want: 'base64url of 32 bytes' });
const kid = text({ max: 128 });
const use = oneOf('sig');
// RFC 7517; a private key (`d`) is an unknown member here, and so refused.
const ec = object(
  { kty: oneOf('EC'), crv: oneOf('P-256'), x: coordinate, y: coordinate },
  { kid, use, alg: oneOf('ES256') },
);
const okp = object(
  { kty: oneOf('OKP'), crv: oneOf('Ed25519'), x: coordinate },
  { kid, use, alg: oneOf('Ed25519') },
);
/** A public key as JWK: P-256 or Ed25519, nothing else. */
export type PublicJwk = ReturnType<typeof ec> | ReturnType<typeof okp>;
/** The shape of a public key. */
export const publicJwk: Shape<PublicJwk> = (value, path, fail) =>
  isJsonObject(value) && value['kty'] === 'OKP' ? okp(value, path, fail) : ec(value, path, fail);

const fail: Fail = (path, want) => refuse('authorization-keys', `${path} is not ${want}`, { member: path });

/**
 * A key with its name and algorithm, both from the key set and neither from a token.
 * @throws Refusal `authorization-keys` without `kid` or `alg`, and for a point that is not on its curve
 */
export function verificationKey(jwk: PublicJwk, path = 'key'): VerificationKey {
  if (jwk.kid === undefined || jwk.alg === undefined) return fail(path, 'a key with kid and alg');
  return { kid: jwk.kid, algorithm: jwk.alg satisfies JwsAlgorithm, key: importJwk(jwk, path) };
}

/** The key alone, as a holder gives it. @throws Refusal `authorization-keys` */
export function importJwk(jwk: PublicJwk, path = 'key'): VerificationKey['key'] {
  for (const member of [jwk.x, ...(jwk.kty === 'EC' ? [jwk.y] : [])]) fromBase64url(member, path);
  try {
    return createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return fail(path, 'a key that can be read');
  }
}

/** What a key of the verifier signs; no key is accepted for another purpose. */
export type PublishedPurpose = 'authorization' | 'attestation-result' | 'status' | 'jwt-svid';

/** The member of a published JWK that says its purpose; RFC 7517 §4 lets a key set have members of its own. */
export const PURPOSE_MEMBER = 'sealgate_purpose';

/**
 * The keys of one purpose out of a verifier's JWKS (`/.well-known/jwks.json`). Keys of other purposes are left out,
 * also ones of kinds that are not known here; an empty result refuses every token.
 * @throws Refusal `authorization-keys` for a set without keys, two keys of one kid, or a key of this purpose that can't
 *   be used
 */
export function keysFor(jwks: JsonObject, purpose: PublishedPurpose): readonly VerificationKey[] {
  const keys = list((value) => value, 64, 1)(jwks['keys'] ?? null, 'jwks.keys', fail);
  const kids = keys.map((key) => (isJsonObject(key) ? key['kid'] : fail('jwks.keys', 'made of objects')));
  if (new Set(kids).size !== kids.length) fail('jwks.keys', 'a set with each kid once');
  return keys.flatMap((key, i) => {
    if (!isJsonObject(key) || key[PURPOSE_MEMBER] !== purpose) return [];
    const jwk = Object.fromEntries(Object.entries(key).filter(([name]) => name !== PURPOSE_MEMBER));
    const path = `jwks.keys[${String(i)}]`;
    return [verificationKey(publicJwk(jwk, path, fail), path)];
  });
}
