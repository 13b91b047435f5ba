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
