import { constants, createHash, publicDecrypt } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { concat, equalBytes, fromHex, refuse, toHex } from '../../base/index.ts';
import { DerReader, TAG, parseCertificate, parseSpki, publicKeyOf } from '../../x509/index.ts';
import type { SubjectPublicKey } from '../../x509/index.ts';
import { verifyEcdsaDigest } from './ecdsa-digest.ts';
import type { KernelHash } from './kernel-hashes.ts';

/** A key that signs files. */
export interface SigningKey {
  /** Lowercase hex SHA-256 of the canonical SubjectPublicKeyInfo. */
  readonly fingerprint: string;
  /** Last four bytes of the subject key identifier, lowercase hex: how signatures name keys. */
  readonly keyId: string;
  readonly spki: SubjectPublicKey;
  /** For RSA. */
  readonly keyObject: KeyObject;
}

/** RSA keys below this are factored for sport. */
const MIN_RSA_BITS = 2048;

/**
 * A signing key from an X.509 certificate or a SubjectPublicKeyInfo, both DER. A certificate's validity and issuer are
 * not looked at: the kernel doesn't either, what counts is that the caller trusts these bytes.
 * @throws Refusal `malformed`, `x509-unsupported-algorithm`, `x509-invalid-key`, `ima-signing-key`
 */
export function parseSigningKey(der: Uint8Array): SigningKey {
  const certificate = isCertificate(der) ? parseCertificate(der) : undefined;
  const spki = certificate?.publicKey ?? parseSpki(der);
  if (spki.key.type === 'ed25519' || (spki.key.type === 'rsa' && spki.key.bits < MIN_RSA_BITS)) {
    refuse('ima-signing-key', 'files are signed by RSA keys of 2048 bits and more, or ECDSA keys', {
      key: spki.keyId,
    });
  }
  const identifier = certificate?.subjectKeyId ?? subjectKeyId(spki);
  return {
    fingerprint: spki.keyId,
    keyId: identifier.slice(-8),
    spki,
    keyObject: publicKeyOf(spki),
  };
}

/** True when `signature` is this key's over `digest`, made by `algorithm`. */
export function verifyDigest(
  key: SigningKey,
  algorithm: KernelHash,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { key: fields } = key.spki;
  if (fields.type === 'ec') return verifyEcdsaDigest(fields, digest, signature);
  return fields.type === 'rsa' && verifyRsa(key.keyObject, fields.bits, algorithm, digest, signature);
}

/** DigestInfo without the digest (RFC 8017 §9.2 note 1). Without SHA-1: what it signs can be exchanged. */
const DIGEST_INFO: Readonly<Record<string, string>> = {
  sha224: '302d300d06096086480165030402040500041c',
  sha256: '3031300d060960864801650304020105000420',
  sha384: '3041300d060960864801650304020205000430',
  sha512: '3051300d060960864801650304020305000440',
};

/** RSASSA-PKCS1-v1_5 by comparing the whole encoded message: nothing of a padding is parsed (RFC 8017 §8.2.2). */
function verifyRsa(
  key: KeyObject,
  bits: number,
  algorithm: KernelHash,
  digest: Uint8Array,
  signature: Uint8Array,
): boolean {
  const prefix = DIGEST_INFO[algorithm.name];
  const size = Math.ceil(bits / 8);
  if (prefix === undefined || digest.length !== algorithm.size || signature.length !== size) return false;
  const info = concat([fromHex(prefix), digest]);
  const padding = new Uint8Array(size - 3 - info.length).fill(0xff);
  const expected = concat([Uint8Array.of(0, 1), padding, Uint8Array.of(0), info]);
  try {
    return equalBytes(publicDecrypt({ key, padding: constants.RSA_NO_PADDING }, signature), expected);
  } catch {
    // OpenSSL throws for a signature that isn't below the modulus.
    return false;
  }
}

/** A certificate begins with a SEQUENCE in a SEQUENCE, a SubjectPublicKeyInfo too, but that one begins with an OID. */
function isCertificate(der: Uint8Array): boolean {
  const outer = new DerReader(der, 'signing key').sequence('signing key');
  if (outer.nextTag !== TAG.sequence) return false;
  return outer.sequence('first element').nextTag !== TAG.oid;
}

/** RFC 5280 §4.2.1.2 method 1: SHA-1 of the key's bits; what `evmctl` and the kernel use when no one says otherwise. */
function subjectKeyId(spki: SubjectPublicKey): string {
  const outer = new DerReader(spki.canonical, 'SubjectPublicKeyInfo').sequence('SubjectPublicKeyInfo');
  outer.any();
  return toHex(createHash('sha1').update(outer.wholeBitString('subjectPublicKey')).digest());
}
