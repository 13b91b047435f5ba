import { refuse } from '../base/index.ts';
import { OID, TAG, oidName } from '../x509/index.ts';
import type { DerReader } from '../x509/index.ts';
import type { SignatureAlgorithm } from './keys.ts';
import type { HashName } from './types.ts';

/** Object identifiers of CMS (RFC 5652 §4, §11) that X.509 doesn't have. */
export const CMS_OID = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5',
} as const;

export const HASH_OID: Readonly<Record<HashName, string>> = {
  sha256: OID.sha256,
  sha384: OID.sha384,
  sha512: OID.sha512,
};
const HASH_SIZE: Readonly<Record<HashName, number>> = { sha256: 32, sha384: 48, sha512: 64 };

/** How the signer says that it signed; configuration says whether that is allowed. */
export interface CmsSignatureAlgorithm {
  readonly algorithm: SignatureAlgorithm;
  readonly hash: HashName;
  /** RSASSA-PSS only; bytes. */
  readonly saltLength?: number;
}

/** A DigestAlgorithmIdentifier (RFC 5754 §2): SHA-2 with parameters absent or NULL. @throws Refusal `artifact-algorithm` */
export function readDigestAlgorithm(parent: DerReader): HashName {
  const reader = parent.sequence('DigestAlgorithmIdentifier');
  const oid = reader.oid('digest algorithm');
  reader.optional(TAG.null);
  reader.end();
  return hashOf(oid);
}

const FIXED: Readonly<Record<string, { algorithm: SignatureAlgorithm; hash: HashName } | undefined>> = {
  [OID.sha256WithRsa]: { algorithm: 'rsa-pkcs1', hash: 'sha256' },
  [OID.sha384WithRsa]: { algorithm: 'rsa-pkcs1', hash: 'sha384' },
  [OID.sha512WithRsa]: { algorithm: 'rsa-pkcs1', hash: 'sha512' },
  [OID.ecdsaWithSha256]: { algorithm: 'ecdsa-p256', hash: 'sha256' },
  [OID.ecdsaWithSha384]: { algorithm: 'ecdsa-p256', hash: 'sha384' },
  [OID.ecdsaWithSha512]: { algorithm: 'ecdsa-p256', hash: 'sha512' },
};

/**
 * A SignatureAlgorithmIdentifier (RFC 5754 §3, RFC 4056). Its hash must be the content's: RFC 5652 lets them differ,
 * no signer needs it, and a weaker outer hash would be a downgrade.
 * @throws Refusal `artifact-algorithm`
 */
export function readSignatureAlgorithm(parent: DerReader, digest: HashName): CmsSignatureAlgorithm {
  const reader = parent.sequence('SignatureAlgorithmIdentifier');
  const oid = reader.oid('signature algorithm');
  const found = readParameters(oid, reader, digest);
  reader.end();
  if (found.hash !== digest) refuse('artifact-algorithm', 'signature and content use different hashes');
  return found;
}

function readParameters(oid: string, reader: DerReader, digest: HashName): CmsSignatureAlgorithm {
  if (oid === OID.rsassaPss) return readPss(reader);
  // rsaEncryption names no hash: the digest algorithm's (RFC 3370 §3.2).
  const fixed = oid === OID.rsaEncryption ? ({ algorithm: 'rsa-pkcs1', hash: digest } as const) : FIXED[oid];
  if (fixed === undefined) {
    return refuse('artifact-algorithm', `CMS signature algorithm ${oidName(oid)} is not supported`, { oid });
  }
  if (fixed.algorithm === 'rsa-pkcs1') reader.optional(TAG.null);
  return fixed;
}

/** RSASSA-PSS-params (RFC 4055 §3.1): SHA-2, MGF1 with the same hash, trailer absent (DER's default). */
function readPss(reader: DerReader): CmsSignatureAlgorithm {
  const params = reader.sequence('RSASSA-PSS-params');
  const field = (number: number, what: string): DerReader => {
    if (params.nextTag !== (0xa0 | number))
      refuse('artifact-algorithm', `RSASSA-PSS without ${what} means SHA-1`);
    return params.inside(params.any(), what);
  };
  const hash = readDigestAlgorithm(field(0, 'hashAlgorithm'));
  const mask = field(1, 'maskGenAlgorithm').sequence('maskGenAlgorithm');
  if (mask.oid('mask generation function') !== OID.mgf1)
    refuse('artifact-algorithm', 'the mask generation function is not MGF1');
  if (readDigestAlgorithm(mask) !== hash) refuse('artifact-algorithm', 'MGF1 with another hash');
  mask.end();
  const saltLength = field(2, 'saltLength').smallInteger('saltLength', 1024);
  params.end();
  if (saltLength < HASH_SIZE[hash])
    refuse('artifact-algorithm', `salt of ${String(saltLength)} bytes, shorter than the hash`);
  return { algorithm: 'rsa-pss', hash, saltLength };
}

function hashOf(oid: string): HashName {
  switch (oid) {
    case OID.sha256:
      return 'sha256';
    case OID.sha384:
      return 'sha384';
    case OID.sha512:
      return 'sha512';
    default:
      return refuse('artifact-algorithm', `hash ${oidName(oid)} is not SHA-2`, { oid });
  }
}
