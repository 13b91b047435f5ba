import { concat, fromHex, refuse } from '../base/index.ts';
import { OID, der, parseCertificate } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import { CMS_OID, HASH_OID } from './cms-algorithms.ts';
import { publicKeyFromSpki } from './keys.ts';
import { makeSignature } from './sign.ts';
import type { SigningKey } from './sign.ts';

/** What {@link signCms} signs and with what. */
export interface CmsOrder {
  /** Of the content, 32 bytes. */
  readonly sha256: Uint8Array;
  readonly key: SigningKey;
  /** DER, the signer's first, then those that lead to the root. */
  readonly certificates: readonly Uint8Array[];
  /** Unix milliseconds. */
  readonly signingTime: number;
}

/**
 * A detached CMS SignedData in DER (RFC 5652): SHA-256, ECDSA P-256 or RSASSA-PSS, signed attributes contentType,
 * messageDigest and signingTime.
 * @throws Refusal `cms-certificate` without a certificate of this key; `artifact-key` for Ed25519
 */
export function signCms(order: CmsOrder): Uint8Array {
  const certificate = signerCertificate(order);
  const attributes = signedAttributes(order);
  const set = der.setOf(...attributes);
  const rsa = order.key.publicKey.type === 'rsa';
  const algorithm = rsa ? 'rsa-pss' : 'ecdsa-p256';
  const signerInfo = der.sequence(
    der.smallInteger(1),
    der.sequence(certificate.issuer.raw, der.tlv(0x02, fromHex(certificate.serial))),
    digestAlgorithm(),
    // The file has the attributes as [0]; what is signed is the SET OF (§5.4).
    concat([new Uint8Array([0xa0]), set.slice(1)]),
    rsa ? pssAlgorithm() : der.sequence(der.oid(OID.ecdsaWithSha256)),
    der.octetString(makeSignature(order.key, { algorithm, hash: 'sha256' }, set)),
  );
  const signedData = der.sequence(
    der.smallInteger(1),
    der.setOf(digestAlgorithm()),
    der.sequence(der.oid(CMS_OID.data)),
    der.context(0, ...[...order.certificates].sort((a, b) => Buffer.compare(a, b))),
    der.setOf(signerInfo),
  );
  return der.sequence(der.oid(CMS_OID.signedData), der.context(0, signedData));
}

function signerCertificate({ certificates, key }: CmsOrder): Certificate {
  const [first] = certificates;
  if (key.publicKey.type === 'ed25519')
    refuse('artifact-key', 'Ed25519 is not used in CMS here: use dsse or ssh');
  if (first === undefined) return refuse('cms-certificate', 'CMS needs the signer’s certificate');
  const certificate = parseCertificate(first);
  const own = publicKeyFromSpki(certificate.publicKey.canonical);
  if (own.fingerprint !== key.publicKey.fingerprint) {
    refuse('cms-certificate', 'the certificate is not for the signing key', { certificate: own.fingerprint });
  }
  return certificate;
}

function signedAttributes({ sha256, signingTime }: CmsOrder): Uint8Array[] {
  const attribute = (oid: string, value: Uint8Array): Uint8Array =>
    der.sequence(der.oid(oid), der.setOf(value));
  return [
    attribute(CMS_OID.contentType, der.oid(CMS_OID.data)),
    attribute(CMS_OID.messageDigest, der.octetString(sha256)),
    attribute(CMS_OID.signingTime, der.time(signingTime)),
  ];
}

function digestAlgorithm(): Uint8Array {
  return der.sequence(der.oid(HASH_OID.sha256));
}

/** RSASSA-PSS-params: SHA-256, MGF1 with SHA-256, salt of 32 bytes (RFC 4055 §3.1, RFC 4056 §3). */
function pssAlgorithm(): Uint8Array {
  const sha256 = der.sequence(der.oid(HASH_OID.sha256), der.null());
  return der.sequence(
    der.oid(OID.rsassaPss),
    der.sequence(
      der.context(0, sha256),
      der.context(1, der.sequence(der.oid(OID.mgf1), sha256)),
      der.context(2, der.smallInteger(32)),
    ),
  );
}
