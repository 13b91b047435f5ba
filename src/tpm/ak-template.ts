import { objectAttributes } from './object-attributes.ts';
import type { PublicArea } from './public-area.ts';

/** The algorithms that an attestation key can be asked for. */
export type AkAlgorithm = 'ecc-p256' | 'rsa-2048';

/**
 * What every attestation key of ours has: rules h, and an authValue (userWithAuth) that is random, so dictionary
 * attack protection would only let somebody lock the key out (noDA).
 */
const ATTRIBUTES = objectAttributes(
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
  'noDA',
  'restricted',
  'sign',
);

const EMPTY = new Uint8Array(0);

/** The template of an attestation key, SHA-256 throughout: ECDSA on P-256, or RSASSA-PKCS1-v1_5 with 2048 bits. */
export function akTemplate(algorithm: AkAlgorithm): PublicArea {
  const common = { nameAlg: 'sha256', attributes: ATTRIBUTES, authPolicy: EMPTY, symmetric: null } as const;
  if (algorithm === 'rsa-2048') {
    return {
      type: 'rsa',
      ...common,
      scheme: { name: 'rsassa', hash: 'sha256' },
      keyBits: 2048,
      exponent: 0,
      modulus: EMPTY,
    };
  }
  return {
    type: 'ecc',
    ...common,
    scheme: { name: 'ecdsa', hash: 'sha256' },
    curve: 'P-256',
    kdf: null,
    x: EMPTY,
    y: EMPTY,
  };
}
