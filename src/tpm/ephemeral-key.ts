import { createECDH } from 'node:crypto';
import type { ECDH } from 'node:crypto';
import type { Random } from '../base/index.ts';
import { isScalar } from './curve-point.ts';
import { curveSize } from './curves.ts';

/** The curves that new keys are made on. */
export type StrongCurve = 'P-256' | 'P-384' | 'P-521';

const OPENSSL_NAMES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const;

/**
 * A key pair for one use, from the given randomness: a scalar in 1 … n−1 by rejection, which keeps it uniform
 * (FIPS 186-5 §A.2.2).
 * @param random draws one field element a try
 * @throws Error when the random source never gives a scalar in range
 */
export function ephemeralKey(curve: StrongCurve, random: Random): ECDH {
  const size = curveSize(curve);
  for (let tries = 0; tries < 64; tries++) {
    const scalar = Uint8Array.from(random.bytes(size));
    // P-521's 66 bytes have seven bits too many.
    if (curve === 'P-521') scalar[0] = (scalar[0] ?? 0) & 1;
    if (!isScalar(curve, scalar)) continue;
    const key = createECDH(OPENSSL_NAMES[curve]);
    key.setPrivateKey(scalar);
    scalar.fill(0);
    return key;
  }
  throw new Error('the random source gives no scalar in range');
}
