import { createECDH, createHash, createPublicKey, verify } from 'node:crypto';
import { toBase64url, toHex } from '../../base/index.ts';
import { curveDomain, curveSize } from '../../tpm/index.ts';
import { DerReader } from '../../x509/index.ts';

/**
 * ECDSA over a digest that was made elsewhere. node:crypto verifies messages only, and a measurement has the digest of
 * a file and not the file. So the key is moved: with z the digest and z₀ the digest of the empty message,
 *
 *     (z/s)·G + (r/s)·Q  =  (z₀/s)·G + (r/s)·Q′   where   Q′ = Q + ((z − z₀)/r)·G
 *
 * (r, s) is a signature of z by Q exactly when it is one of the empty message by Q′ (FIPS 186-5 §6.4.2). All checks
 * and the verification proper are OpenSSL's; one addition of public points is done here.
 */
export interface EcKey {
  readonly curve: EcCurve;
  /** 04 ‖ x ‖ y, a point of the curve. */
  readonly point: Uint8Array;
}

export type EcCurve = 'P-256' | 'P-384' | 'P-521';

/** Names that OpenSSL knows the curves by. */
const OPENSSL_NAMES: Readonly<Record<EcCurve, string>> = {
  'P-256': 'prime256v1',
  'P-384': 'secp384r1',
  'P-521': 'secp521r1',
};

const EMPTY = new Uint8Array();
/** z₀ */
const EMPTY_DIGEST = BigInt(`0x${createHash('sha256').update(EMPTY).digest('hex')}`);

/**
 * True when `signature` (DER, ECDSA-Sig-Value) is one of `digest` by `key`.
 * @throws Refusal `malformed` when the signature isn't strict DER
 */
export function verifyEcdsaDigest(key: EcKey, digest: Uint8Array, signature: Uint8Array): boolean {
  const domain = curveDomain(key.curve);
  if (domain === undefined) return false;
  const { n, p } = domain;
  const r = readR(signature);
  if (r === 0n || r >= n) return false;
  const shift = mod((truncate(digest, n.toString(2).length) - EMPTY_DIGEST) * inverse(r, n), n);
  const size = curveSize(key.curve);
  const moved = addMultipleOfG(OPENSSL_NAMES[key.curve], p, key.point, toBytes(shift, size));
  if (moved === undefined) return false;
  const [x, y] = moved.map((coordinate) => toBase64url(toBytes(coordinate, size)));
  const jwk = { kty: 'EC', crv: key.curve, x: x ?? '', y: y ?? '' };
  return verify('sha256', EMPTY, createPublicKey({ key: jwk, format: 'jwk' }), signature);
}

function readR(signature: Uint8Array): bigint {
  const reader = new DerReader(signature, 'ECDSA-Sig-Value');
  const values = reader.sequence('ECDSA-Sig-Value');
  reader.end();
  const r = values.integer('r');
  values.integer('s');
  values.end();
  // A negative r is none; OpenSSL says no to a negative s.
  return ((r[0] ?? 0) & 0x80) !== 0 ? 0n : toNumber(r);
}

/** The leftmost bits of a digest that is longer than the order (FIPS 186-5 §6.4.2 step 2). */
function truncate(digest: Uint8Array, bits: number): bigint {
  const excess = Math.max(0, digest.length * 8 - bits);
  return toNumber(digest) >> BigInt(excess);
}

/** point + factor·G; undefined for the point at infinity, which is no public key. */
function addMultipleOfG(
  curve: string,
  p: bigint,
  point: Uint8Array,
  factor: Uint8Array,
): readonly [bigint, bigint] | undefined {
  const [x1, y1] = coordinates(point);
  if (factor.every((byte) => byte === 0)) return [x1, y1];
  const ecdh = createECDH(curve);
  ecdh.setPrivateKey(factor);
  const [x2, y2] = coordinates(ecdh.getPublicKey());
  if (x1 === x2 && y1 !== y2) return undefined;
  const slope =
    x1 === x2 ? (3n * x1 * x1 - 3n) * inverse(2n * y1, p) : (y2 - y1) * inverse(mod(x2 - x1, p), p);
  const x3 = mod(slope * slope - x1 - x2, p);
  return [x3, mod(slope * (x1 - x3) - y1, p)];
}

function coordinates(point: Uint8Array): readonly [bigint, bigint] {
  const half = (point.length - 1) / 2;
  return [toNumber(point.slice(1, 1 + half)), toNumber(point.slice(1 + half))];
}

function toNumber(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}

function toBytes(value: bigint, size: number): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex'));
}

function mod(value: bigint, modulus: bigint): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

/** 1/value by Euclid's algorithm; the modulus is prime and the value not zero. Everything here is public. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [low, high] = [mod(value, modulus), modulus];
  let [x, y] = [1n, 0n];
  while (low > 1n) {
    const quotient = high / low;
    [low, high] = [high - quotient * low, low];
    [x, y] = [y - quotient * x, x];
  }
  return mod(x, modulus);
}
