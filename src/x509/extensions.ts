import { refuse, toHex } from '../base/index.ts';
import { DerReader, TAG } from './der.ts';
import type { Leniency } from './der.ts';
import { readGeneralNames } from './general-names.ts';
import type { GeneralName } from './general-names.ts';
import { OID, oidName } from './oids.ts';

/** One extension as received. */
export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** The DER inside the OCTET STRING. */
  readonly value: Uint8Array;
}

/** Bits of KeyUsage by their names, in bit order (RFC 5280 §4.2.1.3). */
export const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

export type KeyUsage = (typeof KEY_USAGES)[number];

/** The extensions that a decision reads, decoded; undefined means absent. */
export interface KnownExtensions {
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | undefined } | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  /** Never empty when present. */
  readonly extKeyUsage: readonly string[] | undefined;
  readonly subjectAltName: readonly GeneralName[] | undefined;
  /** Lowercase hex. */
  readonly subjectKeyId: string | undefined;
  readonly authorityKeyId: string | undefined;
}

const MAX_EXTENSIONS = 64;
const MAX_PURPOSES = 64;

/** Reads Extensions ::= SEQUENCE SIZE (1..MAX) OF Extension; one OID twice is refused (RFC 5280 §4.2). */
export function readExtensions(list: DerReader): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  do {
    if (extensions.size >= MAX_EXTENSIONS) list.malformed('too many extensions');
    const reader = list.sequence('Extension');
    const oid = reader.oid('extnID');
    const critical = reader.defaultFalse('critical');
    const { content } = reader.value(TAG.octetString, 'extnValue');
    reader.end();
    if (extensions.has(oid))
      refuse('x509-duplicate-extension', `extension ${oidName(oid)} occurs twice`, { oid });
    extensions.set(oid, Object.freeze({ oid, critical, value: content }));
  } while (!list.atEnd);
  return extensions;
}

/** Decodes the extensions that decisions read; certificatePolicies only for form, since no policy is asked for. */
export function decodeExtensions(
  extensions: ReadonlyMap<string, Extension>,
  leniency: Leniency,
): KnownExtensions {
  const decode = <T>(oid: string, read: (reader: DerReader) => T): T | undefined => {
    const extension = extensions.get(oid);
    return extension && read(new DerReader(extension.value, oidName(oid), { leniency }));
  };
  decode(OID.certificatePolicies, checkPolicies);
  return {
    basicConstraints: decode(OID.basicConstraints, readBasicConstraints),
    keyUsage: decode(OID.keyUsage, readKeyUsage),
    extKeyUsage: decode(OID.extKeyUsage, readExtKeyUsage),
    subjectAltName: decode(OID.subjectAltName, readGeneralNames),
    subjectKeyId: decode(OID.subjectKeyIdentifier, readSubjectKeyId),
    authorityKeyId: decode(OID.authorityKeyIdentifier, readAuthorityKeyId),
  };
}

function readBasicConstraints(reader: DerReader): { ca: boolean; pathLength: number | undefined } {
  const fields = reader.sequence('BasicConstraints');
  reader.end();
  const ca = fields.defaultFalse('cA');
  const pathLength = fields.atEnd ? undefined : fields.smallInteger('pathLenConstraint', 255);
  fields.end();
  return Object.freeze({ ca, pathLength });
}

function readKeyUsage(reader: DerReader): ReadonlySet<KeyUsage> {
  const bits = reader.namedBits('KeyUsage');
  reader.end();
  if (bits.length === 0) reader.malformed('no bit is set');
  return new Set(bits.map((bit) => KEY_USAGES[bit] ?? reader.malformed(`unknown bit ${String(bit)}`)));
}

function readExtKeyUsage(reader: DerReader): readonly string[] {
  const list = reader.sequence('ExtKeyUsageSyntax');
  reader.end();
  const purposes: string[] = [];
  // SIZE (1..MAX): an empty list is malformed, never "any purpose".
  do {
    if (purposes.length >= MAX_PURPOSES) list.malformed('too many purposes');
    purposes.push(list.oid('KeyPurposeId'));
  } while (!list.atEnd);
  return Object.freeze(purposes);
}

function readSubjectKeyId(reader: DerReader): string {
  const { content } = reader.value(TAG.octetString, 'SubjectKeyIdentifier');
  reader.end();
  return toHex(content);
}

/** keyIdentifier [0]; issuer [1] and serial [2] name a certificate and are only hints, so they are skipped. */
function readAuthorityKeyId(reader: DerReader): string | undefined {
  const fields = reader.sequence('AuthorityKeyIdentifier');
  reader.end();
  const keyId = fields.optional(0x80);
  fields.optional(0xa1);
  fields.optional(0x82);
  fields.end();
  return keyId && toHex(keyId.content);
}

function checkPolicies(reader: DerReader): void {
  const list = reader.sequence('certificatePolicies');
  reader.end();
  do {
    const policy = list.sequence('PolicyInformation');
    policy.oid('policyIdentifier');
    policy.optional(TAG.sequence);
    policy.end();
  } while (!list.atEnd);
}
