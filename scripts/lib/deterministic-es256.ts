import { createECDH, createHash, createHmac, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/** Order of the group of P-256 (SP 800-186 §3.2.1.3). */
export const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/**
 * ECDSA over P-256 with SHA-256 and the nonce of RFC 6979, so that a signature is a function of key and message: test
 * data that is made again is the same, byte for byte. For test keys only: nothing here runs in constant time.
 * @param secret 32 bytes
 * @returns r ‖ s, 64 bytes
 */
export function signEs256(message: Uint8Array, secret: Uint8Array): Uint8Array {
  const hash = createHash('sha256').update(message).digest();
  const e = toNumber(hash) % P256_ORDER;
  for (const k of nonces(secret, hash)) {
    const r = xOf(k) % P256_ORDER;
    const s = (inverse(toNumber(k)) * (e + r * toNumber(secret))) % P256_ORDER;
    if (r !== 0n && s !== 0n) return Buffer.concat([toBytes(r), toBytes(s)]);
  }
  throw new Error('unreachable: there is always another nonce');
}

/** The key pair of a 32-byte secret. */
export function es256Key(secret: Uint8Array): KeyObject {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(secret);
  const point = ecdh.getPublicKey();
  const coordinate = (half: Uint8Array): string => Buffer.from(half).toString('base64url');
  const [x, y, d] = [coordinate(point.subarray(1, 33)), coordinate(point.subarray(33)), coordinate(secret)];
  return createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d }, format: 'jwk' });
}

/** RFC 6979 §3.2: candidates for k, in order. */
function* nonces(secret: Uint8Array, hash: Uint8Array): Generator<Uint8Array> {
  const h1 = toBytes(toNumber(hash) % P256_ORDER);
  let v: Uint8Array = Buffer.alloc(32, 1);
  let k: Uint8Array = Buffer.alloc(32);
  const hmac = (...parts: Uint8Array[]): Uint8Array =>
    createHmac('sha256', k)
      .update(Buffer.concat([v, ...parts]))
      .digest();
  for (const step of [0, 1]) {
    k = hmac(Uint8Array.of(step), secret, h1);
    v = hmac();
  }
  for (;;) {
    v = hmac();
    const candidate = toNumber(v);
    if (candidate > 0n && candidate < P256_ORDER) yield Uint8Array.from(v);
    k = hmac(Uint8Array.of(0));
    v = hmac();
  }
}

/** x of k·G. */
function xOf(k: Uint8Array): bigint {
  const ecdh = createECDH('prime256v1');
  ecdh.setPrivateKey(k);
  return toNumber(ecdh.getPublicKey().subarray(1, 33));
}

/** By Fermat: the order is prime. */
function inverse(value: bigint): bigint {
  let [result, base, exponent] = [1n, value % P256_ORDER, P256_ORDER - 2n];
  for (; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = (result * base) % P256_ORDER;
    base = (base * base) % P256_ORDER;
  }
  return result;
}

const toNumber = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
const toBytes = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, '0'), 'hex');
