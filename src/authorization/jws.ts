import { createHash, sign as createSignature, verify as verifySignature } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
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
  const header = { alg: algorithm, kid, typ: type };
  const here = (input: Uint8Array): Uint8Array =>
    new Uint8Array(createSignature(DIGEST[algorithm], input, raw(key)));
  return await signCompact(utf8(canonicalJson(payload)), header, sign ?? here);
}

/** Ed25519 hashes by itself (RFC 8032). */
const DIGEST: Readonly<Record<JwsAlgorithm, string | null>> = { ES256: 'sha256', Ed25519: null };
/** JWS has r ‖ s, never DER (RFC 7518 §3.4). */
const raw = (key: KeyObject) => ({ key, dsaEncoding: 'ieee-p1363' as const });
const SIGNATURE_BYTES = 64;

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
  const { header, payload, signature } = readParts(token, maxBytes);
  const key = keys.find(({ kid }) => kid === header['kid']);
  if (key === undefined) return refuse('signature_invalid', 'no trusted key has this kid');
  // Exactly these members: `crit`, `jku`, `x5c`, `b64` and the like change what a signature means.
  if (Object.keys(header).sort().join() !== 'alg,kid,typ')
    refuse('signature_invalid', 'unexpected header members');
  if (header['typ'] !== type) refuse('signature_invalid', `typ is not ${type}`);
  if (header['alg'] !== key.algorithm)
    refuse('signature_invalid', 'alg is not the one configured for the key');
  if (!fits(key)) refuse('signature_invalid', 'the key is not one for its algorithm', { kid: key.kid });
  const input = utf8(token.slice(0, token.lastIndexOf('.')));
  if (
    signature.length !== SIGNATURE_BYTES ||
    !verifySignature(DIGEST[key.algorithm], input, raw(key.key), signature)
  )
    refuse('signature_invalid', 'the signature does not verify');
  return await Promise.resolve(payload);
}

/** Neither algorithm is ever tried with a key of the other, or of another curve. */
function fits({ algorithm, key }: VerificationKey): boolean {
  return algorithm === 'Ed25519'
    ? key.asymmetricKeyType === 'ed25519'
    : key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** SHA-256 of a token's signing input (header.payload), base64url: what `par_hash` of a child holds. */
export function signingInputHash(token: string): string {
  return createHash('sha256')
    .update(token.slice(0, token.lastIndexOf('.')))
    .digest('base64url');
}

function readParts(token: string, maxBytes: number) {
  if (token.length > maxBytes) refuse('malformed', `JWS: over the limit of ${String(maxBytes)} characters`);
  const [first, second, third, ...more] = token.split('.');
  if (first === undefined || second === undefined || third === undefined || more.length > 0)
    return refuse('malformed', 'JWS: not three parts');
  const limits = { maxBytes: 1024, maxDepth: 2 };
  return {
    payload: fromBase64url(second, 'JWS'),
    signature: fromBase64url(third, 'JWS'),
    header: parseJsonObject(fromBase64url(first, 'JWS header'), 'JWS header', limits),
  };
}
