import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { isJsonObject, refuse } from '../base/index.ts';

/** Signature algorithms that an issuer's key may be configured for (RFC 7518, RFC 8037); never HMAC, never `none`. */
export const TOKEN_ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const;
export type TokenAlgorithm = (typeof TOKEN_ALGORITHMS)[number];

/** One public key of an issuer; algorithm from configuration. */
export interface IssuerKey {
  readonly kid: string;
  readonly algorithm: TokenAlgorithm;
  readonly key: KeyObject;
}

/** Somebody whose tokens name initiators, as policy configures it. */
export interface InitiatorIssuer {
  /** The `iss` claim, compared literally. */
  readonly issuer: string;
  readonly keys: readonly IssuerKey[];
  /** True: tokens without `cnf` are accepted, each once. False: the initiator proves possession of a key. */
  readonly bearer: boolean;
  /** Longest life of a token, seconds. */
  readonly maxLifetime: number;
}

/**
 * Reads a JWKS (RFC 7517) into keys. Each key needs `kid` and `alg`; private or symmetric keys, RSA below 2048 bits and
 * unknown key types are refused: a key set that can't be used whole is a mistake somebody should see.
 * @throws Refusal `initiator-issuer`
 */
export function parseJwks(document: JsonObject): IssuerKey[] {
  const keys = document['keys'];
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > 64) {
    return refuse('initiator-issuer', 'a JWKS needs 1 to 64 keys');
  }
  const parsed = (keys as JsonValue[]).map(parseKey);
  if (new Set(parsed.map(({ kid }) => kid)).size !== parsed.length)
    refuse('initiator-issuer', 'two keys share a kid');
  return parsed;
}

function parseKey(value: JsonValue): IssuerKey {
  if (!isJsonObject(value)) return refuse('initiator-issuer', 'a key is not an object');
  const { kid, alg } = value;
  const algorithm = TOKEN_ALGORITHMS.find((known) => known === alg);
  if (typeof kid !== 'string' || kid === '' || algorithm === undefined) {
    return refuse('initiator-issuer', 'a key needs kid and a known asymmetric alg');
  }
  for (const secret of ['d', 'k', 'p', 'q']) {
    if (Object.hasOwn(value, secret)) refuse('initiator-issuer', 'a key set holds a private key', { kid });
  }
  return { kid, algorithm, key: importKey(value, algorithm, kid) };
}

function importKey(jwk: JsonObject, algorithm: TokenAlgorithm, kid: string): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' });
  } catch {
    return refuse('initiator-issuer', 'a key can’t be read', { kid });
  }
  if (!keyFits(key, algorithm))
    refuse('initiator-issuer', 'a key does not fit its alg', { kid, alg: algorithm });
  return key;
}

function keyFits(key: KeyObject, algorithm: TokenAlgorithm): boolean {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
  switch (algorithm) {
    case 'ES256':
      return namedCurve === 'prime256v1';
    case 'ES384':
      return namedCurve === 'secp384r1';
    case 'EdDSA':
      return key.asymmetricKeyType === 'ed25519';
    case 'PS256':
    case 'RS256':
      return (
        key.asymmetricKeyType === 'rsa' &&
        modulusLength !== undefined &&
        modulusLength >= 2048 &&
        modulusLength <= 8192
      );
  }
}
