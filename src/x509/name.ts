import { equalBytes, fromUtf8, refuse, toHex } from '../base/index.ts';
import { DerReader, TAG } from './der.ts';
import type { DerValue } from './der.ts';
import { OID } from './oids.ts';

/** One AttributeTypeAndValue of a relative distinguished name. */
export interface Attribute {
  readonly oid: string;
  /** The decoded string; for types that are no strings `#` and the hex of the DER (RFC 4514 §2.4). */
  readonly value: string;
}

/** A distinguished name. Names are compared by their encoding: `raw` against `raw`. */
export interface Name {
  readonly raw: Uint8Array;
  readonly rdns: readonly (readonly Attribute[])[];
  /** RFC 4514 text for people; never used for a decision. */
  readonly text: string;
}

/** Elements of one name; real ones stay below ten. */
const MAX_ATTRIBUTES = 64;

/** Reads a Name (RFC 5280 §4.1.2.4) from `parent`. */
export function readName(parent: DerReader, what: string): Name {
  const value = parent.value(TAG.sequence, what);
  return nameFrom(value, parent.inside(value, what));
}

/** A Name whose TLV was read already, as inside a GeneralName. */
export function nameFrom(value: DerValue, reader: DerReader): Name {
  const rdns: (readonly Attribute[])[] = [];
  let count = 0;
  while (!reader.atEnd) {
    const rdn = readRdn(reader);
    count += rdn.length;
    if (count > MAX_ATTRIBUTES) reader.malformed('too many attributes');
    rdns.push(Object.freeze(rdn));
  }
  return Object.freeze({ raw: value.raw, rdns: Object.freeze(rdns), text: nameText(rdns) });
}

/** Equality by encoding: stricter than RFC 5280 §7.1, and what every issuer in practice produces. */
export function sameName(a: Name, b: Name): boolean {
  return equalBytes(a.raw, b.raw);
}

/** All attributes of a name, whichever RDN they are in. */
export function attributesOf(name: Name): readonly Attribute[] {
  return name.rdns.flat();
}

function readRdn(parent: DerReader): Attribute[] {
  const set = parent.inside(parent.value(TAG.set, 'RelativeDistinguishedName'), 'RelativeDistinguishedName');
  const attributes: Attribute[] = [];
  do {
    const pair = set.sequence('AttributeTypeAndValue');
    const oid = pair.oid('attribute type');
    const value = attributeText(pair.any(), pair.structure);
    pair.end();
    attributes.push(Object.freeze({ oid, value }));
  } while (!set.atEnd);
  return attributes;
}

/** The text of a DirectoryString or of another ASN.1 string type. */
export function attributeText(value: DerValue, structure: string): string {
  switch (value.tag) {
    case TAG.utf8String:
      return fromUtf8(value.content, structure);
    case TAG.printableString:
    case TAG.ia5String:
    case TAG.visibleString:
      return ascii(value.content, structure);
    case TAG.teletexString:
      // T.61 was used as Latin-1 by everybody who still wrote it.
      return Buffer.from(value.content).toString('latin1');
    case TAG.bmpString:
      return bmp(value.content, structure);
    default:
      return `#${toHex(value.raw)}`;
  }
}

/** 7-bit text; control characters are left to the printer. */
export function ascii(bytes: Uint8Array, structure: string): string {
  if (bytes.some((byte) => byte > 0x7f)) refuse('malformed', `${structure}: not ASCII`, { structure });
  return Buffer.from(bytes).toString('latin1');
}

function bmp(bytes: Uint8Array, structure: string): string {
  const text = bytes.length % 2 === 0 ? new TextDecoder('utf-16be').decode(bytes) : undefined;
  return text ?? refuse('malformed', `${structure}: BMPString of odd length`, { structure });
}

const KEYWORDS: Readonly<Record<string, string>> = {
  [OID.commonName]: 'CN',
  [OID.countryName]: 'C',
  [OID.localityName]: 'L',
  [OID.stateOrProvinceName]: 'ST',
  [OID.organizationName]: 'O',
  [OID.organizationalUnitName]: 'OU',
};

function nameText(rdns: readonly (readonly Attribute[])[]): string {
  const attribute = ({ oid, value }: Attribute): string => `${KEYWORDS[oid] ?? oid}=${escapeValue(value)}`;
  return [...rdns]
    .reverse()
    .map((rdn) => rdn.map(attribute).join('+'))
    .join(',');
}

/** RFC 4514 §2.4. */
function escapeValue(value: string): string {
  return value.replace(/^[ #]|[,+"\\<>;]| $/g, (character) => `\\${character}`);
}
