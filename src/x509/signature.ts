import { constants, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { refuse } from '../base/index.ts';
import { DerReader, TAG } from './der.ts';
import { OID, oidName } from './oids.ts';

/** How a certificate is signed (RFC 3279, 4055, 5758, 8410). */
export interface SignatureAlgorithm {
  readonly scheme: 'rsassa-pkcs1' | 'rsassa-pss' | 'ecdsa' | 'ed25519';
  /** Undefined for Ed25519, which hashes by itself. */
  readonly hash: 'sha1' | 'sha256' | 'sha384' | 'sha512' | undefined;
  /** Bytes; RSASSA-PSS only. */
  readonly saltLength: number | undefined;
  readonly oid: string;
  /** The AlgorithmIdentifier as received: inner and outer must be the same bytes. */
  readonly raw: Uint8Array;
}

type Scheme = Pick<SignatureAlgorithm, 'scheme' | 'hash'> & { readonly parameters: 'null' | 'absent' };

const SCHEMES: Readonly<Record<string, Scheme>> = {
  [OID.sha1WithRsa]: { scheme: 'rsassa-pkcs1', hash: 'sha1', parameters: 'null' },
  [OID.sha256WithRsa]: { scheme: 'rsassa-pkcs1', hash: 'sha256', parameters: 'null' },
  [OID.sha384WithRsa]: { scheme: 'rsassa-pkcs1', hash: 'sha384', parameters: 'null' },
  [OID.sha512WithRsa]: { scheme: 'rsassa-pkcs1', hash: 'sha512', parameters: 'null' },
  [OID.ecdsaWithSha1]: { scheme: 'ecdsa', hash: 'sha1', parameters: 'absent' },
  [OID.ecdsaWithSha256]: { scheme: 'ecdsa', hash: 'sha256', parameters: 'absent' },
  [OID.ecdsaWithSha384]: { scheme: 'ecdsa', hash: 'sha384', parameters: 'absent' },
  [OID.ecdsaWithSha512]: { scheme: 'ecdsa', hash: 'sha512', parameters: 'absent' },
  [OID.ed25519]: { scheme: 'ed25519', hash: undefined, parameters: 'absent' },
};

/** Reads an AlgorithmIdentifier of a signature; unknown ones, MD5 and older included, are refused. */
export function readSignatureAlgorithm(parent: DerReader): SignatureAlgorithm {
  const value = parent.value(TAG.sequence, 'signatureAlgorithm');
  const reader = parent.inside(value, 'signatureAlgorithm');
  const oid = reader.oid('algorithm');
  if (oid === OID.rsassaPss) return pssAlgorithm(reader, value.raw);
  const known = SCHEMES[oid] ?? unsupported(`signature algorithm ${oid}`, oid);
  if (known.parameters === 'null') reader.value(TAG.null, 'parameters');
  reader.end();
  return Object.freeze({
    scheme: known.scheme,
    hash: known.hash,
    saltLength: undefined,
    oid,
    raw: value.raw,
  });
}

/** True when `signature` over `tbs` is by `key`. A key of another type than the algorithm's is a "no". */
export function signatureHolds(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  tbs: Uint8Array,
  signature: Uint8Array,
): boolean {
  const wanted = { 'rsassa-pkcs1': 'rsa', 'rsassa-pss': 'rsa', ecdsa: 'ec', ed25519: 'ed25519' }[
    algorithm.scheme
  ];
  if (key.asymmetricKeyType !== wanted) return false;
  const padding = algorithm.scheme === 'rsassa-pss' ? constants.RSA_PKCS1_PSS_PADDING : undefined;
  const saltLength = algorithm.saltLength;
  return verify(
    algorithm.hash,
    tbs,
    {
      key,
      ...(padding === undefined ? {} : { padding }),
      ...(saltLength === undefined ? {} : { saltLength }),
    },
    signature,
  );
}

const HASHES: Readonly<
  Record<string, { readonly name: 'sha256' | 'sha384' | 'sha512'; readonly size: number }>
> = {
  [OID.sha256]: { name: 'sha256', size: 32 },
  [OID.sha384]: { name: 'sha384', size: 48 },
  [OID.sha512]: { name: 'sha512', size: 64 },
};

/** RSASSA-PSS-params (RFC 4055 §3.1): SHA-2, MGF1 with the same hash, salt as long as the digest, no other choice. */
function pssAlgorithm(reader: DerReader, raw: Uint8Array): SignatureAlgorithm {
  const params = reader.sequence('RSASSA-PSS-params');
  reader.end();
  const hashAlgorithm = explicit(params, 0, 'hashAlgorithm');
  const hash = hashOf(hashAlgorithm);
  const mgf = explicit(params, 1, 'maskGenAlgorithm').sequence('maskGenAlgorithm');
  if (mgf.oid('mask generation function') !== OID.mgf1)
    unsupported('mask generation function', OID.rsassaPss);
  const mgfHash = hashOf(mgf);
  if (mgfHash.name !== hash.name) unsupported('MGF1 with another hash', OID.rsassaPss);
  const saltLength = explicit(params, 2, 'saltLength').smallInteger('saltLength', 255);
  if (saltLength !== hash.size) unsupported(`salt of ${String(saltLength)} bytes`, OID.rsassaPss);
  params.end();
  return Object.freeze({ scheme: 'rsassa-pss', hash: hash.name, saltLength, oid: OID.rsassaPss, raw });
}

function explicit(params: DerReader, number: number, what: string): DerReader {
  return params.inside(params.value(0xa0 | number, what), what);
}

function hashOf(reader: DerReader): { name: 'sha256' | 'sha384' | 'sha512'; size: number } {
  const identifier = reader.sequence('hash AlgorithmIdentifier');
  const oid = identifier.oid('hash');
  // NULL and absent are both right (RFC 4055 §2.1).
  identifier.optional(TAG.null);
  identifier.end();
  reader.end();
  return HASHES[oid] ?? unsupported(`hash ${oidName(oid)} of RSASSA-PSS`, oid);
}

function unsupported(what: string, oid: string): never {
  return refuse('x509-unsupported-algorithm', `${what} is not supported`, { oid });
}
