import { sign as createSignature } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { toBase64url, utf8 } from './bytes.ts';

/** Makes the signature over a JWS signing input: where the key is not in this process, or there is none. */
export type SignElsewhere = (signingInput: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/**
 * A JWS compact (RFC 7515 §7.1) whose signature is made elsewhere.
 * @param header protected, members in their order
 */
export async function signCompact(
  payload: Uint8Array,
  header: Readonly<Record<string, string>>,
  sign: SignElsewhere,
): Promise<string> {
  const input = `${toBase64url(utf8(JSON.stringify(header)))}.${toBase64url(payload)}`;
  return `${input}.${toBase64url(await sign(utf8(input)))}`;
}

/**
 * Signs as ES256 with a key that is here (RFC 7518 §3.4: r ‖ s, 64 bytes).
 * @param key private, P-256
 * @throws TypeError for a key of another kind
 */
export function es256(key: KeyObject): SignElsewhere {
  return (input) => {
    if (key.type !== 'private' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
      throw new TypeError('ES256 signs with a private key on P-256');
    return new Uint8Array(createSignature('sha256', input, { key, dsaEncoding: 'ieee-p1363' }));
  };
}
