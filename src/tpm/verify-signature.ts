import { constants, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { concat } from '../base/index.ts';
import { isScalar } from './curve-point.ts';
import { curveSize } from './curves.ts';
import type { KeyMaterial } from './key-object.ts';
import type { EcdsaSignature, TpmSignature } from './signature.ts';

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
    case 'ecdsa':
      return verify(signature.hash, message, key, ecdsaSigValue(signature));
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

/**
 * ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), the form that OpenSSL works with: handed r ‖ s, Node would convert it at
 * each verification.
 */
function ecdsaSigValue({ r, s }: EcdsaSignature): Uint8Array {
  const [first, second] = [derInteger(r), derInteger(s)];
  const length = first.length + second.length;
  // Two integers of P-521 take 138 bytes: lengths from 128 on need a byte that says so.
  return concat([Uint8Array.from(length < 128 ? [0x30, length] : [0x30, 0x81, length]), first, second]);
}

/** INTEGER in DER: no leading zeros, but one before a top bit, which would be a sign. */
function derInteger(value: Uint8Array): Uint8Array {
  const first = value.findIndex((byte) => byte !== 0);
  const sign = (value[first] ?? 0) >= 0x80 ? 1 : 0;
  const out = new Uint8Array(2 + sign + value.length - first);
  out.set([0x02, out.length - 2]);
  out.set(first === 0 ? value : value.slice(first), 2 + sign);
  return out;
}
