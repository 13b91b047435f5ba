import { createHash } from 'node:crypto';
import { LIMITS, equalBytes, refuse, toHex } from '../base/index.ts';
import { DerReader, TAG } from './der.ts';
import type { DerValue, EncodingQuirk, Leniency } from './der.ts';
import { decodeExtensions, readExtensions } from './extensions.ts';
import type { Extension, KnownExtensions } from './extensions.ts';
import { ascii, readName } from './name.ts';
import type { Name } from './name.ts';
import { knownEncodingQuirks } from './quirks.ts';
import { readSignatureAlgorithm } from './signature.ts';
import type { SignatureAlgorithm } from './signature.ts';
import { readSpki } from './spki.ts';
import type { SubjectPublicKey } from './spki.ts';

/** A parsed certificate: plain frozen data, nothing judged. `verifyPath` judges. */
export interface Certificate extends KnownExtensions {
  /** Own copy of the received bytes; all other byte fields are views of it. */
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  /** Lowercase hex SHA-256 of `raw`. */
  readonly fingerprint: string;
  readonly version: 1 | 2 | 3;
  /** Lowercase hex of the INTEGER's content. */
  readonly serial: string;
  readonly issuer: Name;
  readonly subject: Name;
  /** Unix time in milliseconds, both ends inclusive. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: SubjectPublicKey;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
  /** Departures from DER that were tolerated because the caller named them. */
  readonly encodingQuirks: readonly EncodingQuirk[];
}

/** What {@link parseCertificate} may tolerate besides what is listed by fingerprint (quirks.ts). */
export interface ParseOptions {
  readonly encodingQuirks?: Iterable<EncodingQuirk>;
}

/**
 * Parses one certificate (RFC 5280 §4.1): strict DER, exact outer length, inner and outer signature algorithm equal.
 * @param bytes DER, at most LIMITS.certificate
 * @throws Refusal `malformed`, `x509-too-large`, `x509-version`, `x509-duplicate-extension`,
 * `x509-signature-algorithm`, `x509-unsupported-algorithm`
 */
export function parseCertificate(bytes: Uint8Array, options: ParseOptions = {}): Certificate {
  if (bytes.length > LIMITS.certificate) {
    refuse(
      'x509-too-large',
      `certificate of ${String(bytes.length)} bytes, over ${String(LIMITS.certificate)}`,
      { bytes: bytes.length },
    );
  }
  const raw = bytes.slice();
  const fingerprint = toHex(createHash('sha256').update(raw).digest());
  const allowed = new Set([...(options.encodingQuirks ?? []), ...knownEncodingQuirks(fingerprint)]);
  const leniency: Leniency = { allowed, used: new Set() };
  const file = new DerReader(raw, 'Certificate', { leniency });
  const outer = file.sequence('Certificate');
  file.end();
  const tbsValue = outer.value(TAG.sequence, 'TBSCertificate');
  const tbs = readTbs(outer.inside(tbsValue, 'TBSCertificate'), leniency);
  const signatureAlgorithm = readSignatureAlgorithm(outer);
  const signature = outer.wholeBitString('signatureValue');
  outer.end();
  if (!equalBytes(signatureAlgorithm.raw, tbs.innerAlgorithm.raw)) {
    refuse('x509-signature-algorithm', 'inner and outer signature algorithm differ', {
      inner: tbs.innerAlgorithm.oid,
      outer: signatureAlgorithm.oid,
    });
  }
  const encodingQuirks = Object.freeze([...leniency.used]);
  return Object.freeze({
    raw,
    tbs: tbsValue.raw,
    fingerprint,
    ...tbs.fields,
    signatureAlgorithm,
    signature,
    encodingQuirks,
  });
}

type TbsFields = Omit<
  Certificate,
  'raw' | 'tbs' | 'fingerprint' | 'signatureAlgorithm' | 'signature' | 'encodingQuirks'
>;

function readTbs(
  reader: DerReader,
  leniency: Leniency,
): { innerAlgorithm: SignatureAlgorithm; fields: TbsFields } {
  const version = readVersion(reader);
  const serial = reader.integer('serialNumber');
  if (serial.length > 32) reader.malformed('serialNumber over 32 bytes');
  const innerAlgorithm = readSignatureAlgorithm(reader);
  const issuer = readName(reader, 'issuer');
  if (issuer.rdns.length === 0) reader.malformed('issuer is empty');
  const [notBefore, notAfter] = readValidity(reader);
  const subject = readName(reader, 'subject');
  const publicKey = readSpki(reader);
  // issuerUniqueID, subjectUniqueID (v2): nobody issues them, nothing reads them.
  const unique = [reader.optional(0x81), reader.optional(0x82)].some((value) => value !== undefined);
  if (unique && version === 1) refuse('x509-version', 'unique identifiers in a version 1 certificate');
  const extensions = readOptionalExtensions(reader, version);
  reader.end();
  const known = decodeExtensions(extensions, leniency);
  const fields = {
    version,
    serial: toHex(serial),
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions,
    ...known,
  };
  return { innerAlgorithm, fields };
}

function readVersion(reader: DerReader): 1 | 2 | 3 {
  const tagged = reader.optional(0xa0);
  if (tagged === undefined) return 1;
  const inner = reader.inside(tagged, 'version');
  const number = inner.smallInteger('version', 255);
  inner.end();
  // DER forbids encoding the default, v1 (0).
  if (number === 1) return 2;
  if (number === 2) return 3;
  return refuse('x509-version', `certificate version field ${String(number)}`, { version: number });
}

function readOptionalExtensions(reader: DerReader, version: 1 | 2 | 3): ReadonlyMap<string, Extension> {
  const tagged = reader.optional(0xa3);
  if (tagged === undefined) return new Map();
  if (version !== 3) refuse('x509-version', `extensions in a version ${String(version)} certificate`);
  const wrapper = reader.inside(tagged, 'extensions');
  const list = wrapper.sequence('Extensions');
  wrapper.end();
  return readExtensions(list);
}

function readValidity(parent: DerReader): [number, number] {
  const reader = parent.sequence('Validity');
  const notBefore = readTime(reader);
  const notAfter = readTime(reader);
  reader.end();
  return [notBefore, notAfter];
}

/** Time (RFC 5280 §4.1.2.5): seconds present, `Z`, no fractions, a date that exists. */
function readTime(reader: DerReader): number {
  const value = reader.nextTag === TAG.utcTime ? reader.any() : reader.value(TAG.generalizedTime, 'Time');
  const text = fourDigitYear(value);
  const match =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text) ?? reader.malformed('Time is not …YYMMDDHHMMSSZ');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  // Date carries 31 February over into March: what comes out must be what was written.
  const written = `${date.toISOString().replace(/[-:T]|\.\d+Z$/g, '')}Z`;
  if (written !== text) reader.malformed('Time is no calendar date');
  return date.getTime();
}

/** UTCTime's two-digit year means 1950 … 2049. */
function fourDigitYear({ tag, content }: DerValue): string {
  const text = ascii(content, 'Time');
  if (tag !== TAG.utcTime) return text;
  return `${Number(text.slice(0, 2)) >= 50 ? '19' : '20'}${text}`;
}
