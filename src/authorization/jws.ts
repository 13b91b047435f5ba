import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { CompactSign, compactVerify, errors } from 'jose';
import type { JsonObject, SignElsewhere } from '../base/index.ts';
import { canonicalJson, fromBase64url, parseJsonObject, refuse, signCompact, utf8 } from '../base/index.ts';

/** Signature algorithms of authorization artifacts; which one a key uses is configuration. */
export type JwsAlgorithm = 'ES256' | 'Ed25519';

/** A public key that one issuer signs with. */
export interface VerificationKey {
  readonly kid: string;
  readonly algorithm: JwsAlgorithm;
  readonly key: KeyObject;
}

/** A private key with its name and algorithm. */
export interface SigningKey extends VerificationKey {
  /** Signs in place of `key`, which is public then: for keys that are elsewhere, and decisions that are repeated. */
  readonly sign?: SignElsewhere;
}

/** Signs canonical JSON as JWS compact (RFC 7515) with `alg, kid, typ` in the protected header. */
export async function signJws(
  payload: JsonObject,
  type: string,
  { key, kid, algorithm, sign }: SigningKey,
): Promise<string> {
  if (sign !== undefined)
    return await signCompact(utf8(canonicalJson(payload)), { alg: algorithm, kid, typ: type }, sign);
  return await new CompactSign(utf8(canonicalJson(payload)))
    .setProtectedHeader({ alg: algorithm, kid, typ: type })
    .sign(key);
}

/**
 * Verifies a JWS compact with exactly one of the given keys, chosen by `kid`; algorithm and `typ` are what the caller
 * says, never what the message says.
 * @param maxBytes bound on the whole token, checked first
 * @returns the payload's bytes, still to be parsed strictly
 * @throws Refusal `signature_invalid`; with no key at all too
 */
export async function verifyJws(
  token: string,
  type: string,
  keys: readonly VerificationKey[],
  maxBytes: number,
): Promise<Uint8Array> {
  const header = readHeader(token, maxBytes);
  const key = keys.find(({ kid }) => kid === header['kid']);
  if (key === undefined) return refuse('signature_invalid', 'no trusted key has this kid');
  // Exactly these members: `crit`, `jku`, `x5c`, `b64` and the like change what a signature means.
  if (Object.keys(header).sort().join() !== 'alg,kid,typ')
    refuse('signature_invalid', 'unexpected header members');
  if (header['typ'] !== type) refuse('signature_invalid', `typ is not ${type}`);
  if (header['alg'] !== key.algorithm)
    refuse('signature_invalid', 'alg is not the one configured for the key');
  try {
    const { payload } = await compactVerify(token, key.key, { algorithms: [key.algorithm] });
    return payload;
  } catch (error) {
    if (error instanceof errors.JOSEError)
      return refuse('signature_invalid', 'the signature does not verify');
    throw error;
  }
}

/** SHA-256 of a token's signing input (header.payload), base64url: what `par_hash` of a child holds. */
export function signingInputHash(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');
}

function readHeader(token: string, maxBytes: number): JsonObject {
  if (token.length > maxBytes) refuse('malformed', `JWS: over the limit of ${String(maxBytes)} characters`);
  const parts = token.split('.');
  const [first] = parts;
  if (parts.length !== 3 || first === undefined) return refuse('malformed', 'JWS: not three parts');
  for (const part of parts) fromBase64url(part, 'JWS');
  return parseJsonObject(fromBase64url(first, 'JWS header'), 'JWS header', { maxBytes: 1024, maxDepth: 2 });
}
