import {
  constants,
  createDecipheriv,
  createECDH,
  createHmac,
  generateKeyPairSync,
  privateDecrypt,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Reader, concat, equalBytes } from '../../src/base/index.ts';
import { kdfA, kdfE } from '../../src/tpm/kdf.ts';
import { digestSize, objectAttributes } from '../../src/tpm/index.ts';
import type { EccPublic, HashName, PublicArea, RsaPublic, SeedLabel } from '../../src/tpm/index.ts';

/** A storage key whose private half is known, so that what a TPM would do can be done step by step. */
export interface SoftwareStorageKey {
  readonly area: RsaPublic | EccPublic;
  readonly privateKey: KeyObject;
}

interface StorageKeyOptions {
  readonly nameAlg: HashName;
  readonly keyBits: 128 | 192 | 256;
}

const ATTRIBUTES = objectAttributes(
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'adminWithPolicy',
  'restricted',
  'decrypt',
);

/** Makes a key with the parameters of the EK templates L-1, H-1, H-6, H-7. */
export function rsaStorageKey(bits: number, { nameAlg, keyBits }: StorageKeyOptions): SoftwareStorageKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const modulus = fromJwk(publicKey.export({ format: 'jwk' }).n);
  return {
    privateKey,
    area: {
      type: 'rsa',
      ...common(nameAlg, keyBits),
      keyBits: bits,
      exponent: 0,
      modulus,
    },
  };
}

/** Makes a key with the parameters of the EK templates L-2, H-2, H-3, H-4. */
export function eccStorageKey(
  curve: 'P-256' | 'P-384' | 'P-521',
  { nameAlg, keyBits }: StorageKeyOptions,
): SoftwareStorageKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve });
  const { x, y } = publicKey.export({ format: 'jwk' });
  return {
    privateKey,
    area: { type: 'ecc', ...common(nameAlg, keyBits), curve, kdf: null, x: fromJwk(x), y: fromJwk(y) },
  };
}

function common(nameAlg: HashName, keyBits: 128 | 192 | 256) {
  return {
    nameAlg,
    attributes: ATTRIBUTES,
    authPolicy: new Uint8Array(digestSize(nameAlg)),
    symmetric: { algorithm: 'aes', keyBits, mode: 'cfb' },
    scheme: null,
  } as const;
}

/** What the TPM does first: the seed back from the encrypted secret, here by Node's own OAEP and ECDH. */
export function recoverSeed(key: SoftwareStorageKey, label: SeedLabel, encrypted: Uint8Array): Uint8Array {
  const { area, privateKey } = key;
  if (area.type === 'rsa') {
    return privateDecrypt(
      {
        key: privateKey,
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: area.nameAlg,
        oaepLabel: Buffer.from(`${label}\0`),
      },
      encrypted,
    );
  }
  const reader = new Reader(encrypted, 'TPM2B_ENCRYPTED_SECRET');
  const x = reader.sized16();
  const y = reader.sized16();
  reader.end();
  const curve = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' }[area.curve as string];
  const ecdh = createECDH(curve ?? '');
  ecdh.setPrivateKey(fromJwk(privateKey.export({ format: 'jwk' }).d));
  const z = ecdh.computeSecret(concat([Uint8Array.of(4), x, y]));
  return kdfE(area.nameAlg, z, label, x, area.x, 8 * digestSize(area.nameAlg));
}

/** UnwrapOuter (TPM 2.0 Part 4): integrity first, then the plain structure; undefined when integrity fails. */
export function unwrapOuter(
  area: PublicArea,
  seed: Uint8Array,
  name: Uint8Array,
  wrapped: Uint8Array,
): Uint8Array | undefined {
  if (area.type !== 'rsa' && area.type !== 'ecc') return undefined;
  const none = new Uint8Array(0);
  const reader = new Reader(wrapped, 'outer wrap');
  const mac = reader.sized16();
  const ciphertext = reader.rest();
  const hmacKey = kdfA(area.nameAlg, seed, 'INTEGRITY', none, none, 8 * digestSize(area.nameAlg));
  const expected = createHmac(area.nameAlg, hmacKey).update(ciphertext).update(name).digest();
  if (!equalBytes(mac, expected)) return undefined;
  const keyBits = area.symmetric?.keyBits ?? 0;
  const key = kdfA(area.nameAlg, seed, 'STORAGE', name, none, keyBits);
  const decipher = createDecipheriv(`aes-${keyBits}-cfb`, key, new Uint8Array(16));
  return concat([decipher.update(ciphertext), decipher.final()]);
}

function fromJwk(member: string | undefined): Uint8Array {
  if (member === undefined) throw new Error('JWK without a member that it must have');
  return new Uint8Array(Buffer.from(member, 'base64url'));
}
