import { createPublicKey } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { Recent, fromBase64url, refuse, toBase64url, toHex } from '../base/index.ts';
import { digest } from './algorithms.ts';
import { isOnCurve } from './curve-point.ts';
import { curveSize } from './curves.ts';
import type { CurveName } from './curves.ts';
import type { PublicArea, RsaPublic } from './public-area.ts';

/** The number that an asymmetric key is, without the attributes and schemes that only a TPM's key has. */
export type KeyMaterial =
  | { readonly type: 'rsa'; readonly modulus: Uint8Array; readonly exponent: number }
  | { readonly type: 'ecc'; readonly curve: CurveName; readonly x: Uint8Array; readonly y: Uint8Array };

/** RSA's exponent when the TPM's field is 0 (TPM 2.0 Part 2 §12.2.3.5). */
const DEFAULT_EXPONENT = 65537;

/** Keys by their numbers: the same few TPMs ask again and again, and importing a key takes as long as a signature. */
const imported = new Recent<KeyObject>(4096);
const spkis = new WeakMap<KeyObject, Uint8Array>();

/** The curves in SPKIs that can also be in a TPM. */
const SPKI_CURVES: readonly CurveName[] = ['P-256', 'P-384', 'P-521'];

/** The key in a public area, the exponent written out. @throws Refusal `e6` when it holds no asymmetric key */
export function keyMaterial(area: PublicArea): KeyMaterial {
  switch (area.type) {
    case 'rsa':
      return { type: 'rsa', modulus: area.modulus, exponent: rsaExponent(area) };
    case 'ecc':
      return { type: 'ecc', curve: area.curve, x: area.x, y: area.y };
    default:
      return refuse('e6', `a ${area.type} object has no public key`, { type: area.type });
  }
}

/** The public exponent that the field stands for. */
export function rsaExponent(area: Pick<RsaPublic, 'exponent'>): number {
  return area.exponent === 0 ? DEFAULT_EXPONENT : area.exponent;
}

/**
 * The key of a public area for `node:crypto`. Its strength isn't judged here, but a point must be on its curve: a
 * key that fails to import must never be able to mean "nothing to verify" (go-attestation #491).
 * @throws Refusal `e6`
 */
export function publicKeyObject(area: PublicArea): KeyObject {
  return importKey(keyMaterial(area));
}

/** The key as JWK (RFC 7518 §6), full-length coordinates. @throws Refusal `e6` */
export function publicJwk(area: PublicArea): JsonWebKey {
  return toJwk(keyMaterial(area));
}

/** The key as SubjectPublicKeyInfo in DER, rsaEncryption or id-ecPublicKey. @throws Refusal `e6` */
export function publicSpki(area: PublicArea): Uint8Array {
  return spkiOf(publicKeyObject(area));
}

/** A public KeyObject as SubjectPublicKeyInfo in DER. */
export function spkiOf(key: KeyObject): Uint8Array {
  const known = spkis.get(key) ?? new Uint8Array(key.export({ type: 'spki', format: 'der' }));
  spkis.set(key, known);
  return known.slice();
}

/** hostId of the protocol: lowercase hex SHA-256 of the EK's SubjectPublicKeyInfo in DER. */
export function hostId(ek: PublicArea): string {
  return toHex(digest('sha256', publicSpki(ek)));
}

/** The key material of a public KeyObject. @throws Refusal `e6` for a kind of key that TPMs don't have */
export function materialOf(key: KeyObject): KeyMaterial {
  const type = key.asymmetricKeyType;
  if (type !== 'rsa' && type !== 'ec') {
    return refuse('e6', `a key of type ${type ?? key.type} is not an RSA or NIST curve key`);
  }
  const { n, e, crv, x, y } = key.export({ format: 'jwk' });
  if (n !== undefined && e !== undefined) {
    return { type: 'rsa', modulus: fromBase64url(n), exponent: integer(fromBase64url(e)) };
  }
  const curve = SPKI_CURVES.find((name) => name === crv);
  if (curve === undefined || x === undefined || y === undefined) {
    return refuse('e6', `the curve ${crv ?? 'of the key'} is not accepted`);
  }
  return { type: 'ecc', curve, x: fromBase64url(x), y: fromBase64url(y) };
}

/**
 * The key in a SubjectPublicKeyInfo, DER exactly.
 * @throws Refusal `malformed` when it doesn't parse or has trailing bytes
 */
export function keyFromSpki(der: Uint8Array): KeyObject {
  const key = parseSpki(der);
  // OpenSSL ignores trailing bytes and accepts some BER; only the encoding that it would write itself is accepted.
  if (key === undefined || toHex(spkiOf(key)) !== toHex(der)) {
    return refuse('malformed', 'SubjectPublicKeyInfo: not exactly one key in DER', {
      structure: 'SubjectPublicKeyInfo',
    });
  }
  return key;
}

function parseSpki(der: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

function importKey(material: KeyMaterial): KeyObject {
  return imported.of(numbersOf(material), () => importJwk(material));
}

/** Everything that the key is made from. */
function numbersOf(material: KeyMaterial): string {
  return material.type === 'rsa'
    ? `rsa ${toHex(material.modulus)} ${String(material.exponent)}`
    : `${material.curve} ${toHex(material.x)} ${toHex(material.y)}`;
}

function importJwk(material: KeyMaterial): KeyObject {
  const jwk = toJwk(material);
  try {
    const spki = createPublicKey({ key: jwk, format: 'jwk' }).export({ format: 'der', type: 'spki' });
    // OpenSSL verifies somewhat faster with a key that its own decoder made than with one put together from numbers.
    return createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return refuse('e6', 'the key can’t be imported', { type: material.type });
  }
}

function toJwk(material: KeyMaterial): JsonWebKey {
  if (material.type === 'rsa') return rsaJwk(material.modulus, material.exponent);
  const { curve, x, y } = material;
  const size = curveSize(curve);
  if (x.length > size || y.length > size || !isOnCurve(curve, x, y)) {
    return refuse('e6', `the key is not a point of ${curve}`, { curve });
  }
  return { kty: 'EC', crv: curve, x: toBase64url(leftPad(x, size)), y: toBase64url(leftPad(y, size)) };
}

function rsaJwk(modulus: Uint8Array, exponent: number): JsonWebKey {
  // Even or tiny numbers are no RSA keys; OpenSSL would take them.
  if (modulus.length < 64 || ((modulus.at(-1) ?? 0) & 1) === 0 || exponent < 3 || exponent % 2 === 0) {
    return refuse('e6', 'the RSA key has an impossible modulus or exponent', { exponent });
  }
  const e = Buffer.alloc(4);
  e.writeUInt32BE(exponent);
  return { kty: 'RSA', n: toBase64url(modulus), e: toBase64url(trim(e)) };
}

/** The bytes with zeros before them, `size` long: coordinates have their field's length. */
export function leftPad(bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length >= size) return bytes;
  const padded = new Uint8Array(size);
  padded.set(bytes, size - bytes.length);
  return padded;
}

function trim(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.slice(first);
}

function integer(bytes: Uint8Array): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}
