import { createHash, createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Recent, refuse, toHex } from '../base/index.ts';
import { DerReader, TAG } from './der.ts';
import { der } from './der-writer.ts';
import { OID, oidName } from './oids.ts';

/** The key itself, without the algorithm dress that it came in. */
export type PublicKeyFields =
  | {
      readonly type: 'rsa';
      /** minimal big-endian */ readonly modulus: Uint8Array;
      readonly exponent: bigint;
      readonly bits: number;
    }
  | {
      readonly type: 'ec';
      readonly curve: 'P-256' | 'P-384' | 'P-521';
      /** 04 ‖ x ‖ y */ readonly point: Uint8Array;
    }
  | { readonly type: 'ed25519'; readonly key: Uint8Array };

/** A SubjectPublicKeyInfo. */
export interface SubjectPublicKey {
  /** As received. */
  readonly der: Uint8Array;
  /** Algorithm OID as received: an EK may say id-RSAES-OAEP for what is a plain RSA key (TCG EK profile §3.5.7). */
  readonly algorithm: string;
  readonly key: PublicKeyFields;
  /** The one SPKI of this key: rsaEncryption, named curve, uncompressed point. Equal keys have equal bytes. */
  readonly canonical: Uint8Array;
  /** Lowercase hex SHA-256 of {@link canonical}. */
  readonly keyId: string;
}

const CURVES = {
  [OID.secp256r1]: { curve: 'P-256', size: 32 },
  [OID.secp384r1]: { curve: 'P-384', size: 48 },
  [OID.secp521r1]: { curve: 'P-521', size: 66 },
} as const;

/** Reads a SubjectPublicKeyInfo from `parent` (RFC 3279, 4055, 5480, 8410). Unknown algorithms are refused. */
export function readSpki(parent: DerReader): SubjectPublicKey {
  const value = parent.value(TAG.sequence, 'SubjectPublicKeyInfo');
  const spki = parent.inside(value, 'SubjectPublicKeyInfo');
  const identifier = spki.sequence('AlgorithmIdentifier');
  const algorithm = identifier.oid('algorithm');
  const read = READERS[algorithm] ?? unsupported(algorithm);
  const { key, canonical } = read(identifier, spki.wholeBitString.bind(spki, 'subjectPublicKey'), spki);
  spki.end();
  const keyId = toHex(createHash('sha256').update(canonical).digest());
  return Object.freeze({ der: value.raw, algorithm, key: Object.freeze(key), canonical, keyId });
}

/** A SubjectPublicKeyInfo that stands alone. @throws Refusal `malformed`, `x509-unsupported-algorithm` */
export function parseSpki(bytes: Uint8Array): SubjectPublicKey {
  const reader = new DerReader(bytes, 'SubjectPublicKeyInfo');
  const spki = readSpki(reader);
  reader.end();
  return spki;
}

/** A key object depends on nothing but its encoding, and importing one takes as long as a signature. */
const imported = new Recent<KeyObject>(1024);

/** Node's key object, from the canonical encoding. @throws Refusal `x509-invalid-key` when the point is off the curve */
export function publicKeyOf(spki: SubjectPublicKey): KeyObject {
  const bytes = Buffer.from(spki.canonical);
  try {
    return imported.of(bytes.toString('latin1'), () =>
      createPublicKey({ key: bytes, format: 'der', type: 'spki' }),
    );
  } catch {
    return refuse('x509-invalid-key', 'the certificate’s public key is not a valid key', {
      keyId: spki.keyId,
    });
  }
}

interface ReadKey {
  readonly key: PublicKeyFields;
  readonly canonical: Uint8Array;
}
type KeyReader = (identifier: DerReader, bits: () => Uint8Array, spki: DerReader) => ReadKey;

const READERS: Readonly<Record<string, KeyReader>> = {
  [OID.rsaEncryption]: (identifier, bits, spki) => {
    identifier.value(TAG.null, 'parameters');
    identifier.end();
    return rsaKey(bits(), spki);
  },
  // RSAES-OAEP-params (RFC 4055 §4.1) say how to encrypt to the key; a TPM follows its template, so they decide nothing.
  [OID.rsaesOaep]: (identifier, bits, spki) => {
    if (!identifier.atEnd) identifier.any();
    identifier.end();
    return rsaKey(bits(), spki);
  },
  // RSASSA-PSS-params (RFC 4055 §3.1) restrict the key to PSS; who verifies with it looks at `algorithm`.
  [OID.rsassaPss]: (identifier, bits, spki) => {
    if (!identifier.atEnd) identifier.any();
    identifier.end();
    return rsaKey(bits(), spki);
  },
  [OID.ecPublicKey]: (identifier, bits) => {
    const named = identifier.oid('named curve');
    identifier.end();
    return ecKey(named, bits());
  },
  [OID.ed25519]: (identifier, bits) => {
    identifier.end();
    const key = bits();
    if (key.length !== 32) identifier.malformed('Ed25519 key is not 32 bytes');
    const canonical = der.sequence(der.sequence(der.oid(OID.ed25519)), der.bitString(key));
    return { key: { type: 'ed25519', key }, canonical };
  },
};

function rsaKey(bits: Uint8Array, spki: DerReader): ReadKey {
  const outer = new DerReader(bits, 'RSAPublicKey', { leniency: spki.leniency });
  const inner = outer.sequence('RSAPublicKey');
  outer.end();
  const modulus = positive(inner.integer('modulus'), inner);
  const exponent = positive(inner.integer('publicExponent'), inner);
  inner.end();
  if (exponent.length > 8) inner.malformed('publicExponent over 64 bits');
  const fields = der.sequence(der.integer(modulus), der.integer(exponent));
  const canonical = der.sequence(der.sequence(der.oid(OID.rsaEncryption), der.null()), der.bitString(fields));
  const bitLength = 8 * modulus.length - Math.clz32(modulus[0] ?? 0) + 24;
  return {
    key: { type: 'rsa', modulus, exponent: BigInt(`0x${toHex(exponent)}`), bits: bitLength },
    canonical,
  };
}

/** Drops the sign byte; zero and negative numbers are no RSA parameters. */
function positive(content: Uint8Array, reader: DerReader): Uint8Array {
  if (((content[0] ?? 0) & 0x80) !== 0 || content.every((byte) => byte === 0))
    reader.malformed('not a positive number');
  return content.slice(content.findIndex((byte) => byte !== 0));
}

function ecKey(named: string, point: Uint8Array): ReadKey {
  const known = named in CURVES ? CURVES[named as keyof typeof CURVES] : unsupported(named);
  if (point[0] !== 0x04 || point.length !== 1 + 2 * known.size) {
    refuse('malformed', `ECPoint: not an uncompressed point of ${known.curve}`, { structure: 'ECPoint' });
  }
  const canonical = der.sequence(
    der.sequence(der.oid(OID.ecPublicKey), der.oid(named)),
    der.bitString(point),
  );
  return { key: { type: 'ec', curve: known.curve, point }, canonical };
}

function unsupported(oid: string): never {
  return refuse(
    'x509-unsupported-algorithm',
    `public key algorithm or curve ${oidName(oid)} is not supported`,
    { oid },
  );
}
