import { createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { concat, fromBase64url, utf8 } from '../base/index.ts';
import type { Random } from '../base/index.ts';
import { der } from './der-writer.ts';
import { KEY_USAGES } from './extensions.ts';
import type { KeyUsage } from './extensions.ts';
import { OID } from './oids.ts';

/** One attribute, or several that share an RDN. */
export type RdnInput = readonly (readonly [oid: string, value: string])[];

/** An extension to encode; `value` is the DER inside the OCTET STRING. */
export interface ExtensionInput {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

/** Everything that a certificate says, encoded exactly as asked: it can build wrong certificates for tests, too. */
export interface CertificateFields {
  /** Big-endian; see {@link randomSerial}. */
  readonly serial: Uint8Array;
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array;
  /** DER of the subject's name; see {@link encodeName}. */
  readonly subject: Uint8Array;
  /** Unix time in milliseconds. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER of the SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly extensions: readonly ExtensionInput[];
}

/** Signs a certificate (RFC 5280 §4.1). @param key private: RSA (PKCS #1 v1.5, SHA-256), EC (ECDSA with the curve's hash) or Ed25519 */
export function encodeCertificate(fields: CertificateFields, key: KeyObject): Uint8Array {
  const { algorithm, hash } = signatureFor(key);
  const tbs = der.sequence(
    der.context(0, der.smallInteger(2)),
    der.integer(fields.serial),
    algorithm,
    fields.issuer,
    der.sequence(der.time(fields.notBefore), der.time(fields.notAfter)),
    fields.subject,
    fields.publicKey,
    ...(fields.extensions.length === 0
      ? []
      : [der.context(3, der.sequence(...fields.extensions.map(encodeExtension)))]),
  );
  return der.sequence(tbs, algorithm, der.bitString(new Uint8Array(sign(hash, tbs, key))));
}

/** A positive serial number of 16 bytes, about 126 random bits. */
export function randomSerial(random: Random): Uint8Array {
  const serial = random.bytes(16).slice();
  // No sign bit, no leading zero: the length is always the same.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** DER of a Name; UTF8String values, PrintableString for the country. */
export function encodeName(rdns: readonly RdnInput[]): Uint8Array {
  const pair = ([oid, value]: readonly [string, string]): Uint8Array =>
    der.sequence(der.oid(oid), oid === OID.countryName ? der.tlv(0x13, utf8(value)) : der.utf8String(value));
  return der.sequence(...rdns.map((rdn) => der.setOf(...rdn.map(pair))));
}

/** DER SubjectPublicKeyInfo of a key object, public or private. */
export function spkiOf(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  return p256Spki(publicKey) ?? new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
}

/**
 * Of the key that almost every certificate is for, written here (RFC 5480 §2): OpenSSL takes as long for its encoding as
 * for two signatures.
 */
function p256Spki(key: KeyObject): Uint8Array | undefined {
  if (key.asymmetricKeyType !== 'ec') return undefined;
  const { crv, x, y } = key.export({ format: 'jwk' });
  if (crv !== 'P-256' || x === undefined || y === undefined) return undefined;
  const point = concat([Uint8Array.of(4), fromBase64url(x), fromBase64url(y)]);
  return der.sequence(der.sequence(der.oid(OID.ecPublicKey), der.oid(OID.secp256r1)), der.bitString(point));
}

/** The values of the extensions that certificates here carry. */
export const extension = {
  basicConstraints: (ca: boolean, pathLength?: number): ExtensionInput => ({
    oid: OID.basicConstraints,
    critical: true,
    value: der.sequence(
      ...(ca ? [der.boolean(true)] : []),
      ...(pathLength === undefined ? [] : [der.smallInteger(pathLength)]),
    ),
  }),
  keyUsage: (...usages: readonly KeyUsage[]): ExtensionInput => ({
    oid: OID.keyUsage,
    critical: true,
    value: der.namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))),
  }),
  extKeyUsage: (...purposes: readonly string[]): ExtensionInput => ({
    oid: OID.extKeyUsage,
    value: der.sequence(...purposes.map(der.oid)),
  }),
  subjectKeyId: (id: Uint8Array): ExtensionInput => ({
    oid: OID.subjectKeyIdentifier,
    value: der.octetString(id),
  }),
  authorityKeyId: (id: Uint8Array): ExtensionInput => ({
    oid: OID.authorityKeyIdentifier,
    value: der.sequence(der.contextPrimitive(0, id)),
  }),
  /** @param names encoded GeneralNames */
  subjectAltName: (critical: boolean, ...names: readonly Uint8Array[]): ExtensionInput => ({
    oid: OID.subjectAltName,
    critical,
    value: der.sequence(...names),
  }),
} as const;

/** Those that are the same in every certificate of a purpose are encoded once. */
const encoded = new WeakMap<ExtensionInput, Uint8Array>();

function encodeExtension(input: ExtensionInput): Uint8Array {
  const known = encoded.get(input) ?? encodeAnew(input);
  if (Object.isFrozen(input)) encoded.set(input, known);
  return known;
}

function encodeAnew({ oid, critical = false, value }: ExtensionInput): Uint8Array {
  return der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octetString(value));
}

function signatureFor(key: KeyObject): { algorithm: Uint8Array; hash: string | undefined } {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return { algorithm: der.sequence(der.oid(OID.sha256WithRsa), der.null()), hash: 'sha256' };
    case 'ed25519':
      return { algorithm: der.sequence(der.oid(OID.ed25519)), hash: undefined };
    case 'ec':
      return ecdsaFor(key);
    default:
      throw new TypeError(`can't sign certificates with a key of type ${String(key.asymmetricKeyType)}`);
  }
}

function ecdsaFor(key: KeyObject): { algorithm: Uint8Array; hash: string } {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? 'an unnamed curve';
  const byCurve: Readonly<Record<string, { oid: string; hash: string }>> = {
    prime256v1: { oid: OID.ecdsaWithSha256, hash: 'sha256' },
    secp384r1: { oid: OID.ecdsaWithSha384, hash: 'sha384' },
    secp521r1: { oid: OID.ecdsaWithSha512, hash: 'sha512' },
  };
  const found = byCurve[curve];
  if (found === undefined) throw new TypeError(`can't sign certificates on ${curve}`);
  return { algorithm: der.sequence(der.oid(found.oid)), hash: found.hash };
}
