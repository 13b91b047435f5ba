import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { toBase64url } from './bytes.ts';
import { canonicalJson } from './jcs.ts';

/** Members that count, by key type (RFC 7638 §3.2, RFC 8037 §2). */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
};

/**
 * RFC 7638 thumbprint of a key's public half, base64url SHA-256: the `kid` of this verifier's signing keys.
 * @throws TypeError for a key without a JWK form
 */
export function jwkThumbprint(key: KeyObject): string {
  const known = thumbprints.get(key) ?? computeThumbprint(key);
  thumbprints.set(key, known);
  return known;
}

/** A key object is one key for as long as it is there. */
const thumbprints = new WeakMap<KeyObject, string>();

function computeThumbprint(key: KeyObject): string {
  const jwk = (key.type === 'public' ? key : createPublicKey(key)).export({ format: 'jwk' });
  const { kty = '' } = jwk;
  const names = REQUIRED[kty];
  if (names === undefined) throw new TypeError(`no thumbprint of a key of type ${kty}`);
  const members = Object.fromEntries(names.map((name) => [name, String(jwk[name])]));
  return toBase64url(new Uint8Array(createHash('sha256').update(canonicalJson(members)).digest()));
}
