import { generateKeyPairSync, sign } from 'node:crypto';
import { akTemplate, encodePublic, encodeSignature } from '../../src/tpm/index.ts';
import type { PublicArea } from '../../src/tpm/index.ts';

const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const { x = '', y = '' } = keys.publicKey.export({ format: 'jwk' });
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64url'));

/** A key in software that says to be an attestation key, so that mutated structures get past the signature. */
export const { publicKey } = keys;
export const ak: PublicArea = { ...akTemplate('ecc-p256'), x: bytes(x), y: bytes(y) } as PublicArea; // an ECC template
export const akBytes = encodePublic(ak);

/** A TPMT_SIGNATURE of it. */
export function ecdsa(message: Uint8Array): Uint8Array {
  const raw = new Uint8Array(sign('sha256', message, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }));
  return encodeSignature({ scheme: 'ecdsa', hash: 'sha256', r: raw.slice(0, 32), s: raw.slice(32) });
}
