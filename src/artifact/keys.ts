import { constants, createHash, createPublicKey, hash, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { LIMITS, Recent, Refusal, refuse, toHex } from '../base/index.ts';
import { DerReader, TAG } from '../x509/der.ts';
import type { HashName } from './types.ts';

/** What a key may be used for; comes from configuration, never from a message. */
export const ALGORITHMS = ['ed25519', 'ecdsa-p256', 'rsa-pss', 'rsa-pkcs1'] as const;
export type SignatureAlgorithm = (typeof ALGORITHMS)[number];

/** How an ECDSA signature's two integers are written where the format leaves it open (DSSE). */
export type EcdsaEncoding = 'der' | 'ieee-p1363';

/** A public key in one normal form, so that one key in two formats is one key. */
export interface PublicKey {
  readonly key: KeyObject;
  readonly type: 'ed25519' | 'ecdsa-p256' | 'rsa';
  /** `sha256:` and the hex SHA-256 of the normal SubjectPublicKeyInfo (RFC 5280 §4.1). */
  readonly fingerprint: string;
}

const RSA_BITS = { min: 2048, max: 8192 };

/** A SubjectPublicKeyInfo in DER. @throws Refusal `artifact-key` for keys of another type or size, `malformed` */
export function publicKeyFromSpki(spki: Uint8Array): PublicKey {
  if (spki.length > LIMITS.tpmStructure) refuse('malformed', 'SubjectPublicKeyInfo: too large');
  // node:crypto ignores bytes after the structure.
  const outer = new DerReader(spki, 'SubjectPublicKeyInfo');
  outer.any();
  outer.end();
  try {
    return normalKey(createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    return refuse('malformed', 'SubjectPublicKeyInfo: not a public key');
  }
}

/** The normal form of a key that node:crypto loaded: uncompressed point, plain rsaEncryption. */
export function normalKey(loaded: KeyObject): PublicKey {
  const type = keyType(loaded);
  const key =
    loaded.asymmetricKeyType === 'rsa-pss'
      ? plainRsa(loaded)
      : createPublicKey({ key: loaded.export({ format: 'jwk' }), format: 'jwk' });
  const digest = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest();
  return { key, type, fingerprint: `sha256:${toHex(digest)}` };
}

/** True when `signature` is over `data` by this key. A key that doesn't fit the algorithm verifies nothing. */
export function verifySignature(
  key: PublicKey,
  how: { algorithm: SignatureAlgorithm; hash: HashName; encoding?: EcdsaEncoding; saltLength?: number },
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (!fits(key, how.algorithm)) return false;
  const question = [key.fingerprint, how.algorithm, how.hash, how.encoding, how.saltLength].join(' ');
  const message = `${hash('sha256', data, 'base64')} ${hash('sha256', signature, 'base64')}`;
  return verified.of(`${question} ${message}`, () => verifyAnew(key, how, data, signature));
}

/** The same artifacts are asked for again and again: what a key signed, by everything that the answer depends on. */
const verified = new Recent<boolean>(4096);

function verifyAnew(
  key: PublicKey,
  how: Parameters<typeof verifySignature>[1],
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  switch (how.algorithm) {
    case 'ed25519':
      return verify(null, data, key.key, signature);
    case 'ecdsa-p256':
      return verify(how.hash, data, { key: key.key, dsaEncoding: how.encoding ?? 'der' }, signature);
    case 'rsa-pss': {
      const saltLength = how.saltLength ?? constants.RSA_PSS_SALTLEN_AUTO;
      return verify(
        how.hash,
        data,
        { key: key.key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength },
        signature,
      );
    }
    case 'rsa-pkcs1':
      return verify(how.hash, data, { key: key.key, padding: constants.RSA_PKCS1_PADDING }, signature);
  }
}

/** Whether a key of this type can be used with the algorithm. */
export function fits(key: PublicKey, algorithm: SignatureAlgorithm): boolean {
  return key.type === 'rsa' ? algorithm.startsWith('rsa-') : key.type === algorithm;
}

function keyType(key: KeyObject): PublicKey['type'] {
  const details = key.asymmetricKeyDetails;
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return 'ed25519';
    case 'ec':
      if (details?.namedCurve === 'prime256v1') return 'ecdsa-p256';
      return refuse('artifact-key', 'elliptic curve keys are P-256 here');
    case 'rsa':
    case 'rsa-pss': {
      const bits = details?.modulusLength ?? 0;
      const exponent = details?.publicExponent ?? 0n;
      const good = bits >= RSA_BITS.min && bits <= RSA_BITS.max && exponent >= 65537n && exponent % 2n === 1n;
      if (good) return 'rsa';
      return refuse('artifact-key', `RSA keys have 2048 to 8192 bits and an exponent of at least 65537`);
    }
    default:
      return refuse('artifact-key', 'keys are Ed25519, ECDSA P-256 or RSA');
  }
}

/** An id-RSASSA-PSS key as a plain RSA key: the padding comes from configuration, not from the key's envelope. */
function plainRsa(key: KeyObject): KeyObject {
  const spki = new DerReader(
    new Uint8Array(key.export({ type: 'spki', format: 'der' })),
    'SubjectPublicKeyInfo',
  );
  const body = spki.sequence('SubjectPublicKeyInfo');
  body.value(TAG.sequence, 'AlgorithmIdentifier');
  const rsa = Buffer.from(body.wholeBitString('subjectPublicKey'));
  return createPublicKey({ key: rsa, format: 'der', type: 'pkcs1' });
}
