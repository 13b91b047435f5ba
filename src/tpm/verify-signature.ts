import { constants, createVerify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isScalar } from './curve-point.ts';
import { curveSize } from './curves.ts';
import type { CurveName } from './curves.ts';
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
  return isInRange(material.curve, signature.r) && isInRange(material.curve, signature.s);
}

/** True for a number in 1 … n − 1 that isn't written longer than the curve's field. */
function isInRange(curve: CurveName, value: Uint8Array): boolean {
  return value.length <= curveSize(curve) && isScalar(curve, value);
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
  // A Verify object takes a microsecond or two less than `crypto.verify`, which makes a job of each call.
  const verify = createVerify(signature.hash).update(message);
  switch (signature.scheme) {
    case 'ecdsa':
      return verify.verify(key, ecdsaSigValue(signature));
    case 'rsassa':
      return verify.verify(key, signature.signature);
    case 'rsapss':
      // TPMs salt with the digest's size or, where FIPS 186 doesn't matter to them, with all that fits (Part 1 B.7).
      return verify.verify(
        { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO },
        signature.signature,
      );
  }
}

/** Room for the longest ECDSA-Sig-Value, P-521's: 3 bytes of header and two integers of 69. */
const DER = new Uint8Array(3 + 2 * 69);

/**
 * ECDSA-Sig-Value in DER (RFC 3279 §2.2.3), the form that OpenSSL works with: handed r ‖ s, Node would convert it at
 * each verification.
 * @returns a view that the next call overwrites
 */
function ecdsaSigValue({ r, s }: EcdsaSignature): Uint8Array {
  const first = significant(r);
  const second = significant(s);
  const length = integerSize(r, first) + integerSize(s, second);
  // Two integers of P-521 take 138 bytes: lengths from 128 on need a byte that says so.
  const header = length < 128 ? 2 : 3;
  DER[0] = 0x30;
  DER[1] = header === 2 ? length : 0x81;
  if (header === 3) DER[2] = length;
  const end = writeInteger(DER, writeInteger(DER, header, r, first), s, second);
  return new Uint8Array(DER.buffer, 0, end);
}

/** Where the number begins behind leading zeros; it isn't zero, e11 saw to that. */
function significant(value: Uint8Array): number {
  let at = 0;
  while (value[at] === 0) at++;
  return at;
}

/** Bytes of the INTEGER: header, a zero where a top bit would be a sign, the number. */
function integerSize(value: Uint8Array, first: number): number {
  return 2 + ((value[first] ?? 0) >= 0x80 ? 1 : 0) + value.length - first;
}

/** Writes the INTEGER; gives the position behind it. */
function writeInteger(out: Uint8Array, at: number, value: Uint8Array, first: number): number {
  const end = at + integerSize(value, first);
  out[at] = 0x02;
  out[at + 1] = end - at - 2;
  out[at + 2] = 0; // the sign, where there is one; else the number's first byte follows
  let from = first;
  for (let to = end - (value.length - first); to < end; to++) out[to] = value[from++] ?? 0;
  return end;
}
