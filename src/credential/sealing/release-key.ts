import { createPrivateKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Reader, equalBytes, refuse, toBase64url } from '../../base/index.ts';
import type { Random } from '../../base/index.ts';
import {
  encodePublic,
  encodeSignature,
  ephemeralKey,
  keyMaterial,
  leftPad,
  objectAttributes,
  parsePublic,
  parseSignature,
  publicKeyObject,
  verifySignature,
} from '../../tpm/index.ts';
import type { EccPublic } from '../../tpm/index.ts';

/** A key that signs one release and is then forgotten: nobody can open another session for the same object. */
export interface ReleaseKey {
  /** TPMT_PUBLIC, as the host's TPM loads it. */
  readonly keyPublic: Uint8Array;
  /** TPMT_SIGNATURE over `message`, hashed with SHA-256. @throws Error when called a second time */
  signOnce(message: Uint8Array): Uint8Array;
}

/** Makes a release key on P-256. ECDSA's own nonce comes from the cryptographic library. */
export function makeReleaseKey(random: Random): ReleaseKey {
  const pair = ephemeralKey('P-256', random);
  const point = new Reader(pair.getPublicKey(), 'uncompressed point');
  point.u8();
  const [x, y] = [point.bytes(32), point.bytes(32)];
  const scalar = pair.getPrivateKey();
  let key: KeyObject | undefined = createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: toBase64url(leftPad(scalar, 32)),
      x: toBase64url(x),
      y: toBase64url(y),
    },
  });
  scalar.fill(0);
  return {
    keyPublic: encodePublic(releaseKeyArea(x, y)),
    signOnce(message) {
      if (key === undefined) throw new Error('this release key has signed and is forgotten');
      const signature = new Reader(
        sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' }),
        'ECDSA signature',
      );
      key = undefined;
      return encodeSignature({
        scheme: 'ecdsa',
        hash: 'sha256',
        r: signature.bytes(32),
        s: signature.bytes(32),
      });
    },
  };
}

/** The one form of a release key: it signs by ECDSA with SHA-256, nothing else. */
function releaseKeyArea(x: Uint8Array, y: Uint8Array): EccPublic {
  return {
    type: 'ecc',
    nameAlg: 'sha256',
    attributes: objectAttributes('sign'),
    authPolicy: new Uint8Array(0),
    symmetric: null,
    scheme: { name: 'ecdsa', hash: 'sha256' },
    curve: 'P-256',
    kdf: null,
    x,
    y,
  };
}

/**
 * A received release key, which must be exactly what {@link makeReleaseKey} makes.
 * @throws Refusal `malformed`, `sealed-signature`, `e6` for a point off the curve
 */
export function parseReleaseKey(keyPublic: Uint8Array): EccPublic {
  const area = parsePublic(keyPublic);
  if (area.type !== 'ecc' || !equalBytes(encodePublic(releaseKeyArea(area.x, area.y)), keyPublic)) {
    return refuse('sealed-signature', 'the release key is not a P-256 key for ECDSA signatures only');
  }
  return area;
}

/** True when `signature`, a TPMT_SIGNATURE, is by this release key over `message`. */
export function isReleaseSignature(key: EccPublic, message: Uint8Array, signature: Uint8Array): boolean {
  const parsed = parseSignature(signature);
  if (parsed.scheme !== 'ecdsa' || parsed.hash !== 'sha256') return false;
  return verifySignature({ key: publicKeyObject(key), material: keyMaterial(key) }, message, parsed);
}
