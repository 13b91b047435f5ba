import { createHash } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { utf8 } from '../base/index.ts';
import { encodeCertificate, encodeName, extension, spkiOf } from './build.ts';
import type { ExtensionInput, RdnInput } from './build.ts';
import { parseCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { der } from './der-writer.ts';
import { OID } from './oids.ts';
import { parseSpki } from './spki.ts';
import type { SubjectPublicKey } from './spki.ts';

/** What the SAN of an EK or AK certificate says about the TPM (TCG EK Credential Profile §3.2.9). */
export interface TpmIdentityInput {
  /** Vendor id as in TPM_PT_MANUFACTURER: `id:` and eight hex digits. */
  readonly manufacturer: string;
  readonly model: string;
  /** Firmware version: `id:` and hex digits. */
  readonly version: string;
}

/** What a certificate is for; decides its extensions. */
export type CertificatePurpose =
  | {
      readonly kind: 'ca';
      readonly pathLength?: number;
      /** Restricts what the CA may issue. */ readonly purposes?: readonly string[];
    }
  | {
      readonly kind: 'ek';
      readonly tpm: TpmIdentityInput;
      /** One RDN with three attributes, or three RDNs. */ readonly layout?: 'one-rdn' | 'three-rdns';
    }
  | { readonly kind: 'ak'; readonly tpm?: TpmIdentityInput; readonly uri?: string }
  | {
      readonly kind: 'tls-server';
      readonly dns: readonly string[];
      readonly ip?: readonly string[];
      readonly uri?: string;
    }
  | { readonly kind: 'tls-client'; readonly uri?: string }
  | { readonly kind: 'x509-svid'; readonly id: string }
  | { readonly kind: 'code-signing' };

/** What {@link issueCertificate} needs: time, serial number and keys are all parameters. */
export interface CertificateOrder {
  /** Readable name; empty when the alternative name carries the identity. */
  readonly subject: { readonly commonName?: string; readonly organization?: string };
  /** The subject's key: a key object, or a DER SubjectPublicKeyInfo that is kept byte for byte. */
  readonly publicKey: KeyObject | Uint8Array;
  /** The issuer's certificate (DER, or parsed) and private key; without one the result is self-signed by `key`. */
  readonly issuer: { readonly certificate?: Uint8Array | Certificate; readonly key: KeyObject };
  /** Big-endian, 1 to 20 bytes; `randomSerial` makes one. */
  readonly serial: Uint8Array;
  /** Unix time in milliseconds; seconds count. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly purpose: CertificatePurpose;
}

/** Issues one certificate of the named purpose: DER, X.509 v3, with subject and authority key identifiers. */
export function issueCertificate(order: CertificateOrder): Uint8Array {
  const publicKey = order.publicKey instanceof Uint8Array ? order.publicKey : spkiOf(order.publicKey);
  const subject = encodeName(subjectRdns(order));
  const { certificate } = order.issuer;
  const issuer = certificate instanceof Uint8Array ? parseCertificate(certificate) : certificate;
  const ownKeyId = keyIdentifier(publicKey);
  const issuerKeyId = issuer === undefined ? ownKeyId : identifierOf(issuer.publicKey);
  const extensions = [
    ...purposeExtensions(order.purpose, publicKey, subjectRdns(order).length === 0),
    extension.subjectKeyId(ownKeyId),
    extension.authorityKeyId(issuerKeyId),
  ];
  const { serial, notBefore, notAfter } = order;
  const fields = {
    serial,
    issuer: issuer?.subject.raw ?? subject,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions,
  };
  return encodeCertificate(fields, order.issuer.key);
}

/** DER GeneralName constructors. */
export const generalName = {
  dns: (name: string) => der.contextPrimitive(2, utf8(name)),
  uri: (uri: string) => der.contextPrimitive(6, utf8(uri)),
  ip: (address: string) => der.contextPrimitive(7, ipBytes(address)),
  directory: (rdns: readonly RdnInput[]) => der.context(4, encodeName(rdns)),
} as const;

function subjectRdns({ subject }: CertificateOrder): readonly RdnInput[] {
  return [
    ...(subject.organization === undefined ? [] : [[[OID.organizationName, subject.organization]] as const]),
    ...(subject.commonName === undefined ? [] : [[[OID.commonName, subject.commonName]] as const]),
  ];
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the key's BIT STRING content. */
const keyIdentifier = (spki: Uint8Array): Uint8Array => identifierOf(parseSpki(spki));

function identifierOf({ key, canonical }: SubjectPublicKey): Uint8Array {
  const bits = key.type === 'ec' ? key.point : key.type === 'ed25519' ? key.key : canonical;
  return new Uint8Array(createHash('sha256').update(bits).digest()).slice(0, 20);
}

function purposeExtensions(
  purpose: CertificatePurpose,
  spki: Uint8Array,
  emptySubject: boolean,
): ExtensionInput[] {
  switch (purpose.kind) {
    case 'ca':
      return [
        extension.basicConstraints(true, purpose.pathLength),
        extension.keyUsage('keyCertSign', 'cRLSign'),
        ...(purpose.purposes === undefined ? [] : [extension.extKeyUsage(...purpose.purposes)]),
      ];
    case 'ek':
      return ekExtensions(purpose, spki);
    case 'ak': {
      const names = [
        ...(purpose.tpm === undefined ? [] : [generalName.directory(tpmRdns(purpose.tpm, 'one-rdn'))]),
        ...(purpose.uri === undefined ? [] : [generalName.uri(purpose.uri)]),
      ];
      return [...signer(OID.tcgAkCertificate), ...alternativeNames(names, emptySubject)];
    }
    case 'tls-server': {
      const names = [
        ...purpose.dns.map(generalName.dns),
        ...(purpose.ip ?? []).map(generalName.ip),
        ...(purpose.uri === undefined ? [] : [generalName.uri(purpose.uri)]),
      ];
      return [...signer(OID.serverAuth), ...alternativeNames(names, emptySubject)];
    }
    case 'tls-client':
      return [
        ...signer(OID.clientAuth),
        ...alternativeNames(purpose.uri === undefined ? [] : [generalName.uri(purpose.uri)], emptySubject),
      ];
    case 'x509-svid':
      return [...SVID_SIGNER, ...alternativeNames([generalName.uri(purpose.id)], emptySubject)];
    case 'code-signing':
      return signer(OID.codeSigning);
  }
}

/** An end entity that signs: CA false, digitalSignature, the named purposes. */
function signer(...purposes: readonly string[]): ExtensionInput[] {
  return [
    extension.basicConstraints(false),
    extension.keyUsage('digitalSignature'),
    extension.extKeyUsage(...purposes),
  ];
}

/** The same for every workload. */
const SVID_SIGNER = signer(OID.serverAuth, OID.clientAuth).map((one) => Object.freeze(one));

/** The extension is critical when the subject is empty (RFC 5280 §4.2.1.6). */
function alternativeNames(names: readonly Uint8Array[], emptySubject: boolean): ExtensionInput[] {
  return names.length === 0 ? [] : [extension.subjectAltName(emptySubject, ...names)];
}

/** An EK decrypts: keyEncipherment for RSA, keyAgreement for ECC (TCG EK Credential Profile §3.5.6). */
function ekExtensions(purpose: CertificatePurpose & { kind: 'ek' }, spki: Uint8Array): ExtensionInput[] {
  const { key } = parseSpki(spki);
  return [
    extension.basicConstraints(false),
    extension.keyUsage(key.type === 'rsa' ? 'keyEncipherment' : 'keyAgreement'),
    extension.extKeyUsage(OID.tcgEkCertificate),
    extension.subjectAltName(
      true,
      generalName.directory(tpmRdns(purpose.tpm, purpose.layout ?? 'three-rdns')),
    ),
  ];
}

function tpmRdns(tpm: TpmIdentityInput, layout: 'one-rdn' | 'three-rdns'): readonly RdnInput[] {
  const attributes = [
    [OID.tpmManufacturer, tpm.manufacturer],
    [OID.tpmModel, tpm.model],
    [OID.tpmVersion, tpm.version],
  ] as const;
  return layout === 'one-rdn' ? [attributes] : attributes.map((attribute) => [attribute]);
}

function ipBytes(address: string): Uint8Array {
  const parts = address.split('.');
  if (parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256)) {
    return new Uint8Array(parts.map(Number));
  }
  const groups = expandIpv6(address);
  return new Uint8Array(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** The eight groups of an IPv6 address (RFC 4291 §2.2, without the dotted form). */
function expandIpv6(address: string): number[] {
  const halves = address.split('::');
  const [left = [], right] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const zeros =
    right === undefined ? [] : new Array<string>(Math.max(1, 8 - left.length - right.length)).fill('0');
  const groups = [...left, ...zeros, ...(right ?? [])];
  if (
    halves.length > 2 ||
    groups.length !== 8 ||
    !groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))
  ) {
    throw new TypeError(`not an IP address: ${address}`);
  }
  return groups.map((group) => Number.parseInt(group, 16));
}
