import { refuse } from '../../base/index.ts';
import type { TpmSignature } from '../signature.ts';
import { schemeFitsKey, signatureFitsKey, verifySignature } from '../verify-signature.ts';
import type { VerifyingKey } from '../verify-signature.ts';
import type { AttestationKey } from './attestation-key.ts';
import type { Checks } from './checks.ts';

/** e9: the signature is by the scheme that the key is fixed to. A key without a scheme fails e5 already. */
function e9Scheme(key: AttestationKey, signature: TpmSignature): void {
  const { scheme } = signature;
  const fits = key.verifying === null || schemeFitsKey(key.verifying.material, signature);
  if (!fits || (key.scheme !== null && key.scheme.name !== scheme)) {
    refuse('e9', `the signature is ${scheme}, the key is for ${key.scheme?.name ?? key.type}`, { scheme });
  }
}

/** e10: the hash is the one that the key is fixed to, and not SHA-1 (which old AK creations are signed over). */
function e10Hash(key: AttestationKey, signature: TpmSignature, acceptSha1 = false): void {
  const { hash } = signature;
  if (hash === 'sha1' && !acceptSha1) refuse('e10', 'the signature is over a SHA-1 digest', { hash });
  if (key.scheme !== null && key.scheme.hash !== hash) {
    refuse('e10', `the signature is over ${hash}, the key is for ${key.scheme.hash ?? 'no hash'}`, { hash });
  }
}

/** e11: an RSA signature is as long as the modulus; ECDSA's r and s are in 1 … n − 1. */
function e11Range(key: VerifyingKey, signature: TpmSignature): void {
  if (!signatureFitsKey(key.material, signature)) {
    refuse('e11', 'the signature’s numbers are out of the key’s range', { scheme: signature.scheme });
  }
}

/** e12: the signature verifies over the attest bytes as received, never as encoded again. */
function e12Signature(key: VerifyingKey, attest: Uint8Array, signature: TpmSignature): void {
  if (!verifySignature(key, attest, signature)) {
    refuse('e12', 'the signature does not verify with the key', { scheme: signature.scheme });
  }
}

/** e12 only for what e11 let pass. */
function e11e12(key: VerifyingKey, attest: Uint8Array, signature: TpmSignature): void {
  e11Range(key, signature);
  e12Signature(key, attest, signature);
}

/**
 * e9–e12 in order. A signature by another scheme or a weak hash isn't worth verifying; without a key (e6) it can't
 * be, which is a failure already.
 */
export function checkSignature(
  attest: Uint8Array,
  key: AttestationKey,
  signature: TpmSignature,
  checks: Checks,
  acceptSha1 = false,
): void {
  const before = checks.failures.length;
  checks.run(e9Scheme, key, signature);
  checks.run(e10Hash, key, signature, acceptSha1);
  const { verifying } = key;
  if (verifying === null || checks.failures.length > before) return;
  checks.run(e11e12, verifying, attest, signature);
}
