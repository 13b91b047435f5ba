import { concat, fromUtf8, refuse } from '../base/index.ts';
import { TAG, oidText } from '../x509/index.ts';
import type { DerReader, DerValue } from '../x509/index.ts';
import { CMS_OID } from './cms-algorithms.ts';

/** The attributes that the signature covers (RFC 5652 §5.3, §11). */
export interface SignedAttributes {
  /** What was signed: the attributes as a SET OF, not as the [0] of the file (§5.4). */
  readonly signedBytes: Uint8Array;
  readonly messageDigest: Uint8Array;
  /** Unix milliseconds. */
  readonly signingTime: number | undefined;
}

const MAX_ATTRIBUTES = 32;

/** @throws Refusal `cms-signed-attributes` when content type or message digest are missing, doubled or odd; `malformed` */
export function readSignedAttributes(parent: DerReader, value: DerValue): SignedAttributes {
  const reader = parent.inside(value, 'SignedAttributes');
  const attributes = new Map<string, DerValue>();
  let before: Uint8Array = new Uint8Array();
  while (!reader.atEnd) {
    if (attributes.size >= MAX_ATTRIBUTES) reader.malformed('too many signed attributes');
    const attribute = reader.value(TAG.sequence, 'Attribute');
    // The signature is over the DER of the set, which has one order (X.690 §11.6).
    if (Buffer.compare(before, attribute.raw) >= 0)
      reader.malformed('signed attributes are not in DER order');
    before = attribute.raw;
    const { oid, single } = readAttribute(reader, attribute);
    if (attributes.has(oid)) refuse('cms-signed-attributes', 'a signed attribute occurs twice', { oid });
    attributes.set(oid, single);
  }
  checkContentType(attributes.get(CMS_OID.contentType));
  const digest = attributes.get(CMS_OID.messageDigest);
  if (digest?.tag !== TAG.octetString)
    refuse('cms-signed-attributes', 'no message digest among the signed attributes');
  const time = attributes.get(CMS_OID.signingTime);
  return {
    signedBytes: concat([new Uint8Array([TAG.set]), value.raw.slice(1)]),
    messageDigest: digest.content,
    signingTime: time === undefined ? undefined : readTime(time),
  };
}

/** Attributes that decide have one value; of others the first is kept and never read. */
function readAttribute(reader: DerReader, attribute: DerValue): { oid: string; single: DerValue } {
  const fields = reader.inside(attribute, 'Attribute');
  const oid = fields.oid('attrType');
  const values = fields.inside(fields.value(TAG.set, 'attrValues'), 'attrValues');
  fields.end();
  const single = values.any();
  const decides = oid === CMS_OID.contentType || oid === CMS_OID.messageDigest || oid === CMS_OID.signingTime;
  if (decides && !values.atEnd)
    refuse('cms-signed-attributes', 'a signed attribute has more than one value', { oid });
  while (!values.atEnd) values.any();
  return { oid, single };
}

function checkContentType(value: DerValue | undefined): void {
  if (value?.tag !== TAG.oid) refuse('cms-signed-attributes', 'no content type among the signed attributes');
  if (oidText(value.content, 'contentType') !== CMS_OID.data)
    refuse('cms-signed-attributes', 'the signed content type is not id-data');
}

/** Time (RFC 5652 §11.3): UTCTime until 2049, GeneralizedTime after. */
function readTime({ tag, content }: DerValue): number {
  const text = fromUtf8(content, 'signingTime');
  const utc = tag === TAG.utcTime;
  if (!utc && tag !== TAG.generalizedTime) refuse('cms-signed-attributes', 'the signing time is no time');
  const full = utc ? `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}` : text;
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full);
  const [, year, month, day, hour, minute, second] = match ?? [];
  const iso = `${year ?? ''}-${month ?? ''}-${day ?? ''}T${hour ?? ''}:${minute ?? ''}:${second ?? ''}`;
  const ms = match === null ? Number.NaN : new Date(`${iso}Z`).getTime();
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== iso) {
    refuse('cms-signed-attributes', 'the signing time is no calendar date');
  }
  return ms;
}
