import { fromHex, toHex } from '../base/index.ts';
import type { CurveName } from './curves.ts';

/** Domain parameters of y² = x³ − 3x + b over GF(p), with a base point of prime order n (FIPS 186-5, SP 800-186). */
export interface CurveDomain {
  readonly p: bigint;
  readonly b: bigint;
  readonly n: bigint;
}

const DOMAINS: Readonly<Partial<Record<CurveName, CurveDomain>>> = {
  'P-256': {
    p: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
    n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  },
  'P-384': {
    p: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  },
  'P-521': {
    p: 2n ** 521n - 1n,
    b: 0x51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00n,
    n: 0x1fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  },
};

/** The parameters of a curve; undefined for weak ones. */
export function curveDomain(curve: CurveName): CurveDomain | undefined {
  return DOMAINS[curve];
}

/** True for the curves that keys of this program may be on. */
export function isStrongCurve(curve: CurveName): boolean {
  return DOMAINS[curve] !== undefined;
}

/** True when (x, y) is a point of the curve: coordinates in range and the equation holds. Weak curves have none. */
export function isOnCurve(curve: CurveName, x: Uint8Array, y: Uint8Array): boolean {
  const domain = DOMAINS[curve];
  if (domain === undefined) return false;
  const [px, py] = [toInteger(x), toInteger(y)];
  if (px >= domain.p || py >= domain.p) return false;
  return (py * py - (px * px * px - 3n * px + domain.b)) % domain.p === 0n;
}

/** True when an ECDSA signature's r or s is in 1 … n − 1. */
export function isScalar(curve: CurveName, value: Uint8Array): boolean {
  const order = ORDERS[curve];
  if (order === undefined) return false;
  // Equal lengths compare as bytes as they do as numbers. What a TPM writes has the length of the field.
  if (value.length !== order.length) return toInteger(value) > 0n && toInteger(value) < toInteger(order);
  return Buffer.compare(value, order) < 0 && !isZero(value);
}

function isZero(value: Uint8Array): boolean {
  for (const byte of value) if (byte !== 0) return false;
  return true;
}

/** The orders as big-endian bytes without leading zeros. */
const ORDERS: Readonly<Partial<Record<CurveName, Uint8Array>>> = Object.fromEntries(
  Object.entries(DOMAINS).map(([curve, { n }]) => {
    const hex = n.toString(16);
    return [curve, fromHex(hex.length % 2 === 0 ? hex : `0${hex}`)];
  }),
);

function toInteger(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${toHex(bytes)}`);
}
