import { constants, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { concat } from '../base/index.ts';
import { isScalar } from './curve-point.ts';
import { curveSize } from './curves.ts';
import { leftPad } from './key-object.ts';
import type { KeyMaterial } from './key-object.ts';
import type { TpmSignature } from './signature.ts';

/** A public key made ready once for many signatures. */
export interface VerifyingKey {
  readonly key: KeyObject;
  readonly material: KeyMaterial;
}

/** True when a signature's scheme is one for this type of key (e9's first half). */
export function schemeFitsKey(material: KeyMaterial, signature: TpmSignature): boolean {
  return (material.type === 'ecc') === (signature.scheme === 'ecdsa');
}

/**
 * True when a signature has the size or range that one by this key has (e11): an RSA signature is as long as the
 * modulus, ECDSA's r and s are in 1 … n − 1.
 */
export function signatureFitsKey(material: KeyMaterial, signature: TpmSignature): boolean {
  if (material.type === 'rsa') {
    return signature.scheme !== 'ecdsa' && signature.signature.length === material.modulus.length;
  }
  if (signature.scheme !== 'ecdsa') return false;
  const { curve } = material;
  const size = curveSize(curve);
  return [signature.r, signature.s].every((value) => value.length <= size && isScalar(curve, value));
}

/**
 * Verifies a TPM's signature over `message`, which is hashed as the signature says. The caller has decided whether
 * that hash and scheme are acceptable.
 * @returns false for anything but a valid signature of the right form
 */
export function verifySignature(
  { key, material }: VerifyingKey,
  message: Uint8Array,
  signature: TpmSignature,
): boolean {
  if (!signatureFitsKey(material, signature)) return false;
  switch (signature.scheme) {
    case 'ecdsa': {
      const size = material.type === 'ecc' ? curveSize(material.curve) : 0;
      const bytes = concat([leftPad(signature.r, size), leftPad(signature.s, size)]);
      return verify(signature.hash, message, { key, dsaEncoding: 'ieee-p1363' }, bytes);
    }
    case 'rsassa':
      return verify(signature.hash, message, key, signature.signature);
    case 'rsapss':
      // TPMs salt with the digest's size or, where FIPS 186 doesn't matter to them, with all that fits (Part 1 B.7).
      return verify(
        signature.hash,
        message,
        { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
        signature.signature,
      );
  }
}
