import type { KeyObject } from 'node:crypto';
import { Refusal, equalBytes, jwkThumbprint, parseJsonObject, refuse, toHex, utf8 } from '../base/index.ts';
import type { JsonValue } from '../base/index.ts';
import { signJws, verifyJws } from './jws.ts';

/** `typ` of a proof that somebody holds a key, for one request. */
export const HOLDER_PROOF_TYPE = 'exec-holder+jwt';

/** What a holder's proof is bound to. */
export interface HolderBinding {
  /** Trust domain of the verifier. */
  readonly audience: string;
  readonly nonce: string;
  /** SHA-256 of the canonical request: 32 bytes. */
  readonly requestDigest: Uint8Array;
}

/** RFC 7638 thumbprint of a P-256 public key, base64url SHA-256: what `cnf.jkt` holds. */
export async function thumbprint(key: KeyObject): Promise<string> {
  return await Promise.resolve(jwkThumbprint(key));
}

/** Signs the proof with the private P-256 key that `cnf` names. */
export async function makeHolderProof(binding: HolderBinding, key: KeyObject): Promise<string> {
  const payload = {
    aud: binding.audience,
    nonce: binding.nonce,
    requestDigest: toHex(binding.requestDigest),
  };
  return await signJws(payload, HOLDER_PROOF_TYPE, { key, kid: await thumbprint(key), algorithm: 'ES256' });
}

/**
 * Checks that the holder of `key` made this proof for this very request.
 * @throws Refusal `holder_binding_failed`, `malformed`
 */
export async function verifyHolderProof(
  proof: string,
  binding: HolderBinding,
  key: KeyObject,
): Promise<void> {
  const payload = parseJsonObject(await asHolder(proof, HOLDER_PROOF_TYPE, key), 'holder proof', {
    maxBytes: 2048,
    maxDepth: 2,
  });
  const expected = {
    aud: binding.audience,
    nonce: binding.nonce,
    requestDigest: toHex(binding.requestDigest),
  };
  if (Object.keys(payload).sort().join() !== Object.keys(expected).sort().join()) {
    refuse('holder_binding_failed', 'the proof has other members than it should');
  }
  for (const [name, value] of Object.entries(expected)) {
    if (!sameText(payload[name], value))
      refuse('holder_binding_failed', `the proof's ${name} is another one`, { member: name });
  }
}

/**
 * The payload of a JWS of this `typ` by the holder of a P-256 key.
 * @throws Refusal `holder_binding_failed`, `malformed`
 */
export async function asHolder(proof: string, type: string, key: KeyObject): Promise<Uint8Array> {
  const keys = [{ key, kid: await thumbprint(key), algorithm: 'ES256' as const }];
  try {
    return await verifyJws(proof, type, keys, 4096);
  } catch (error) {
    if (error instanceof Refusal && error.check === 'signature_invalid') {
      refuse('holder_binding_failed', 'the proof is not signed by the key that it should be');
    }
    throw error;
  }
}

function sameText(actual: JsonValue | undefined, expected: string): boolean {
  return typeof actual === 'string' && equalBytes(utf8(actual), utf8(expected));
}
