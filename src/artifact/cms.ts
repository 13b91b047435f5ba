import { LIMITS, equalBytes, fromUtf8, refuse } from '../base/index.ts';
import { DerReader, TAG } from '../x509/index.ts';
import { CMS_OID, readDigestAlgorithm, readSignatureAlgorithm } from './cms-algorithms.ts';
import type { CmsSignatureAlgorithm } from './cms-algorithms.ts';
import { readSignedAttributes } from './cms-attributes.ts';
import type { SignedAttributes } from './cms-attributes.ts';
import { pemBody } from './key-text.ts';
import { requireSameReading } from './second-reading.ts';
import type { HashName } from './types.ts';

/** A detached CMS SignedData (RFC 5652), decoded; nothing of it is verified. */
export interface CmsFile {
  /** Certificates that came along, DER, none of them believed. */
  readonly certificates: readonly Uint8Array[];
  /** At least one. */
  readonly signatures: readonly CmsSignature[];
}

/** One SignerInfo. */
export interface CmsSignature {
  readonly signer: SignerIdentifier;
  readonly digest: HashName;
  readonly attributes: SignedAttributes;
  readonly signatureAlgorithm: CmsSignatureAlgorithm;
  readonly signature: Uint8Array;
}

/** Which certificate the signer means (RFC 5652 §5.3). */
export type SignerIdentifier =
  | { readonly issuer: Uint8Array; /** content of the INTEGER */ readonly serial: Uint8Array }
  | { readonly subjectKeyId: Uint8Array };

const CONTEXT = { constructed0: 0xa0, constructed1: 0xa1, primitive0: 0x80 } as const;

/**
 * A CMS file in DER or PEM (`CMS` or `PKCS7`). Strict: DER, id-data, detached, signed attributes, no CRLs, nothing
 * unauthenticated that a verifier might later believe.
 * @param maxSigners SignerInfos: as many as have to sign, so that none is there that nobody looks at
 * @throws Refusal `malformed`, `cms-form`, `cms-attached`, `cms-signer-count`, `cms-signed-attributes`,
 * `artifact-algorithm`, `cms-second-reading`
 */
export function parseCms(file: Uint8Array, maxSigners: number): CmsFile {
  if (file.length > LIMITS.signature) refuse('malformed', 'CMS: too large');
  const der = derOf(file);
  const outer = new DerReader(der, 'ContentInfo');
  const info = outer.sequence('ContentInfo');
  outer.end();
  if (info.oid('contentType') !== CMS_OID.signedData) refuse('cms-form', 'CMS content is not SignedData');
  const explicit = info.inside(info.value(CONTEXT.constructed0, 'content'), 'content');
  info.end();
  const signed = explicit.sequence('SignedData');
  explicit.end();
  const parsed = readSignedData(signed, maxSigners);
  requireSameReading(der, parsed);
  return parsed;
}

function derOf(file: Uint8Array): Uint8Array {
  if (file[0] === TAG.sequence) return file;
  const text = fromUtf8(file, 'CMS');
  return pemBody(text, text.startsWith('-----BEGIN PKCS7-----') ? 'PKCS7' : 'CMS');
}

function readSignedData(signed: DerReader, maxSigners: number): CmsFile {
  const version = signed.smallInteger('version', 255);
  const digests = readDigestSet(signed);
  readDetachedContent(signed);
  const certificates = readCertificates(signed);
  if (signed.nextTag === CONTEXT.constructed1)
    refuse('cms-form', 'revocation lists in a signature are not believed');
  const infos = signed.inside(signed.value(TAG.set, 'signerInfos'), 'signerInfos');
  signed.end();
  const signatures: CmsSignature[] = [];
  while (!infos.atEnd && signatures.length < maxSigners)
    signatures.push(readSignerInfo(infos.sequence('SignerInfo')));
  if (signatures.length === 0 || !infos.atEnd) {
    refuse('cms-signer-count', `a CMS file holds 1 to ${String(maxSigners)} SignerInfos here`);
  }
  // RFC 5652 §5.1: version 1 for plain data and issuerAndSerialNumber, 3 where a subject key identifier is used.
  const byKeyId = signatures.some(({ signer }) => 'subjectKeyId' in signer);
  if (version !== (byKeyId ? 3 : 1)) refuse('cms-form', 'SignedData and SignerInfo versions do not fit');
  if (signatures.some(({ digest }) => !digests.includes(digest)))
    refuse('cms-form', 'the signer’s digest algorithm is not among the announced');
  return { certificates, signatures };
}

function readDigestSet(signed: DerReader): HashName[] {
  const set = signed.inside(signed.value(TAG.set, 'digestAlgorithms'), 'digestAlgorithms');
  const digests: HashName[] = [];
  while (!set.atEnd) {
    if (digests.length >= 8) set.malformed('too many digest algorithms');
    digests.push(readDigestAlgorithm(set));
  }
  return digests;
}

function readDetachedContent(signed: DerReader): void {
  const content = signed.sequence('EncapsulatedContentInfo');
  if (content.oid('eContentType') !== CMS_OID.data)
    refuse('cms-form', 'the signed content type is not id-data');
  // Attached content would be a second artifact that could differ from the file.
  if (!content.atEnd) refuse('cms-attached', 'the CMS carries content: only detached signatures count');
}

function readCertificates(signed: DerReader): Uint8Array[] {
  const set = signed.optional(CONTEXT.constructed0);
  if (set === undefined) return [];
  const reader = signed.inside(set, 'certificates');
  const certificates: Uint8Array[] = [];
  while (!reader.atEnd) {
    if (certificates.length >= LIMITS.chainLength) reader.malformed('too many certificates');
    certificates.push(reader.value(TAG.sequence, 'certificate').raw);
  }
  return certificates;
}

function readSignerInfo(reader: DerReader): CmsSignature {
  const signerVersion = reader.smallInteger('version', 255);
  const signer = readSignerIdentifier(reader);
  if (signerVersion !== ('issuer' in signer ? 1 : 3))
    refuse('cms-form', 'SignerInfo version does not fit its identifier');
  const digest = readDigestAlgorithm(reader);
  const attributes = reader.optional(CONTEXT.constructed0);
  if (attributes === undefined) {
    return refuse(
      'cms-signed-attributes',
      'a CMS signature without signed attributes could be one over something else',
    );
  }
  const signatureAlgorithm = readSignatureAlgorithm(reader, digest);
  const signature = reader.value(TAG.octetString, 'signature').content;
  if (!reader.atEnd) refuse('cms-form', 'unsigned attributes are not believed');
  return {
    signer,
    digest,
    attributes: readSignedAttributes(reader, attributes),
    signatureAlgorithm,
    signature,
  };
}

function readSignerIdentifier(reader: DerReader): SignerIdentifier {
  const keyId = reader.optional(CONTEXT.primitive0);
  if (keyId !== undefined) return { subjectKeyId: keyId.content };
  const pair = reader.sequence('IssuerAndSerialNumber');
  const issuer = pair.value(TAG.sequence, 'issuer').raw;
  const serial = pair.integer('serialNumber');
  pair.end();
  return { issuer, serial };
}

/** Whether a certificate's identity is the one that the signer names. */
export function isSigner(
  signer: SignerIdentifier,
  certificate: { issuer: Uint8Array; serial: Uint8Array; subjectKeyId: Uint8Array | undefined },
): boolean {
  if ('issuer' in signer) {
    return equalBytes(signer.issuer, certificate.issuer) && equalBytes(signer.serial, certificate.serial);
  }
  return certificate.subjectKeyId !== undefined && equalBytes(signer.subjectKeyId, certificate.subjectKeyId);
}
