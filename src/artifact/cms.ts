import { LIMITS, equalBytes, fromUtf8, refuse } from '../base/index.ts';
import { DerReader, TAG } from '../x509/index.ts';
import { CMS_OID, readDigestAlgorithm, readSignatureAlgorithm } from './cms-algorithms.ts';
import type { CmsSignatureAlgorithm } from './cms-algorithms.ts';
import { readSignedAttributes } from './cms-attributes.ts';
import type { SignedAttributes } from './cms-attributes.ts';
import { pemBody } from './key-text.ts';
import type { HashName } from './types.ts';

/** A detached CMS signature (RFC 5652 SignedData) by one signer, decoded; nothing of it is verified. */
export interface CmsSignature {
  /** Certificates that came along, DER, none of them believed. */
  readonly certificates: readonly Uint8Array[];
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
 * A CMS file in DER or PEM (`CMS` or `PKCS7`). Strict: DER, id-data, detached, exactly one SignerInfo with signed
 * attributes, no CRLs, nothing unauthenticated that a verifier might later believe.
 * @throws Refusal `malformed`, `cms-form`, `cms-attached`, `cms-signer-count`, `cms-signed-attributes`,
 * `artifact-algorithm`
 */
export function parseCms(file: Uint8Array): CmsSignature {
  if (file.length > LIMITS.signature) refuse('malformed', 'CMS: too large');
  const outer = new DerReader(derOf(file), 'ContentInfo');
  const info = outer.sequence('ContentInfo');
  outer.end();
  if (info.oid('contentType') !== CMS_OID.signedData) refuse('cms-form', 'CMS content is not SignedData');
  const explicit = info.inside(info.value(CONTEXT.constructed0, 'content'), 'content');
  info.end();
  const signed = explicit.sequence('SignedData');
  explicit.end();
  return readSignedData(signed);
}

function derOf(file: Uint8Array): Uint8Array {
  if (file[0] === TAG.sequence) return file;
  const text = fromUtf8(file, 'CMS');
  return pemBody(text, text.startsWith('-----BEGIN PKCS7-----') ? 'PKCS7' : 'CMS');
}

function readSignedData(signed: DerReader): CmsSignature {
  const version = signed.smallInteger('version', 255);
  const digests = readDigestSet(signed);
  readDetachedContent(signed);
  const certificates = readCertificates(signed);
  if (signed.nextTag === CONTEXT.constructed1)
    refuse('cms-form', 'revocation lists in a signature are not believed');
  const infos = signed.inside(signed.value(TAG.set, 'signerInfos'), 'signerInfos');
  signed.end();
  const first = infos.atEnd ? undefined : infos.any();
  if (first === undefined || !infos.atEnd)
    refuse('cms-signer-count', 'a CMS file holds exactly one SignerInfo');
  const { signerVersion, ...info } = readSignerInfo(infos.inside(expectSequence(first, infos), 'SignerInfo'));
  // RFC 5652 §5.1: version 1 for plain data and issuerAndSerialNumber, 3 where a subject key identifier is used.
  if (version !== signerVersion) refuse('cms-form', 'SignedData and SignerInfo versions do not fit');
  if (!digests.includes(info.digest))
    refuse('cms-form', 'the signer’s digest algorithm is not among the announced');
  return { certificates, ...info };
}

function expectSequence<T extends { readonly tag: number }>(value: T, reader: DerReader): T {
  return value.tag === TAG.sequence ? value : reader.malformed('expected a SEQUENCE');
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

function readSignerInfo(reader: DerReader): Omit<CmsSignature, 'certificates'> & { signerVersion: number } {
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
    signerVersion,
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
