import { LIMITS, Reader, Writer, refuse } from '../base/index.ts';
import { hashId, readHash } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { TPM_ALG } from './constants.ts';
import { curveId, curveSize, readCurve } from './curves.ts';
import type { CurveName } from './curves.ts';
import { readKdf, readScheme, readSymmetric, writeKdf, writeScheme, writeSymmetric } from './schemes.ts';
import type { AsymmetricScheme, KdfScheme, Symmetric } from './schemes.ts';

interface CommonPublic {
  readonly nameAlg: HashName;
  /** TPMA_OBJECT as an unsigned 32-bit number, reserved bits included: {@link TPMA_OBJECT}. */
  readonly attributes: number;
  /** Empty, or a digest. */
  readonly authPolicy: Uint8Array;
}

/** An RSA key. `modulus` is empty or zero in templates. */
export interface RsaPublic extends CommonPublic {
  readonly type: 'rsa';
  readonly symmetric: Symmetric | null;
  readonly scheme: AsymmetricScheme | null;
  readonly keyBits: number;
  /** As encoded: 0 stands for 65537. */
  readonly exponent: number;
  readonly modulus: Uint8Array;
}

/** A key on an elliptic curve. Coordinates are as the TPM sent them: full field size, shorter only in templates. */
export interface EccPublic extends CommonPublic {
  readonly type: 'ecc';
  readonly symmetric: Symmetric | null;
  readonly scheme: AsymmetricScheme | null;
  readonly curve: CurveName;
  readonly kdf: KdfScheme | null;
  readonly x: Uint8Array;
  readonly y: Uint8Array;
}

/** An HMAC or XOR key, or with a null scheme sealed data. */
export interface KeyedHashPublic extends CommonPublic {
  readonly type: 'keyedhash';
  readonly scheme:
    | { readonly name: 'hmac'; readonly hash: HashName }
    | { readonly name: 'xor'; readonly hash: HashName; readonly kdf: number }
    | null;
  readonly unique: Uint8Array;
}

/** A key for a symmetric block cipher. */
export interface SymCipherPublic extends CommonPublic {
  readonly type: 'symcipher';
  readonly symmetric: Symmetric | null;
  readonly unique: Uint8Array;
}

/** TPMT_PUBLIC (TPM 2.0 Part 2 §12.2.4). */
export type PublicArea = RsaPublic | EccPublic | KeyedHashPublic | SymCipherPublic;

/** The largest digest, SHA-512's, in bytes. */
const MAX_DIGEST = 64;
/** The largest RSA modulus, 4096 bits, in bytes. */
const MAX_RSA = 512;

/**
 * A TPMT_PUBLIC. What it describes is not judged here; encoding the result gives the received bytes again.
 * @param bytes exactly the structure, at most {@link LIMITS.tpmStructure}
 * @throws Refusal `malformed` with the offset: short, trailing bytes, unknown algorithm
 */
export function parsePublic(bytes: Uint8Array): PublicArea {
  requireBounded(bytes, 'TPMT_PUBLIC');
  const reader = new Reader(bytes, 'TPMT_PUBLIC');
  const area = readPublic(reader);
  reader.end();
  return area;
}

/** A TPM2B_PUBLIC: the u16 size must be exactly what follows. @throws Refusal `malformed` */
export function parseSizedPublic(bytes: Uint8Array): PublicArea {
  return parsePublicIn(bytes).area;
}

/** The TPMT_PUBLIC in a TPM2B_PUBLIC, parsed and as received: names are computed over the received bytes. */
export function parsePublicIn(bytes: Uint8Array): { readonly area: PublicArea; readonly bytes: Uint8Array } {
  requireBounded(bytes, 'TPM2B_PUBLIC');
  const outer = new Reader(bytes, 'TPM2B_PUBLIC');
  const inner = outer.nested(outer.u16(), 'TPMT_PUBLIC');
  const area = readPublic(inner);
  inner.end();
  outer.end();
  return { area, bytes: inner.consumed() };
}

/** The TPMT_PUBLIC's bytes. @throws RangeError when a field doesn't fit */
export function encodePublic(area: PublicArea): Uint8Array {
  const writer = new Writer()
    .u16(TYPE_IDS[area.type])
    .u16(hashId(area.nameAlg))
    .u32(area.attributes)
    .sized16(area.authPolicy);
  switch (area.type) {
    case 'rsa':
      writeSymmetric(writer, area.symmetric);
      writeScheme(writer, area.scheme);
      return writer.u16(area.keyBits).u32(area.exponent).sized16(area.modulus).finish();
    case 'ecc':
      writeSymmetric(writer, area.symmetric);
      writeScheme(writer, area.scheme);
      writer.u16(curveId(area.curve));
      writeKdf(writer, area.kdf);
      return writer.sized16(area.x).sized16(area.y).finish();
    case 'keyedhash':
      writeKeyedHashScheme(writer, area.scheme);
      return writer.sized16(area.unique).finish();
    case 'symcipher':
      writeSymmetric(writer, area.symmetric);
      return writer.sized16(area.unique).finish();
  }
}

/** The TPM2B_PUBLIC's bytes. */
export function encodeSizedPublic(area: PublicArea): Uint8Array {
  return new Writer().sized16(encodePublic(area)).finish();
}

const TYPE_IDS = {
  rsa: TPM_ALG.RSA,
  ecc: TPM_ALG.ECC,
  keyedhash: TPM_ALG.KEYEDHASH,
  symcipher: TPM_ALG.SYMCIPHER,
} as const;

function requireBounded(bytes: Uint8Array, structure: string): void {
  if (bytes.length > LIMITS.tpmStructure) {
    refuse('malformed', `${structure}: ${String(bytes.length)} bytes, over ${String(LIMITS.tpmStructure)}`, {
      structure,
    });
  }
}

function readPublic(reader: Reader): PublicArea {
  const type = reader.u16();
  const common: CommonPublic = {
    nameAlg: readHash(reader),
    attributes: reader.u32(),
    authPolicy: reader.sized16(MAX_DIGEST),
  };
  switch (type) {
    case TPM_ALG.RSA:
      return readRsa(reader, common);
    case TPM_ALG.ECC:
      return readEcc(reader, common);
    case TPM_ALG.KEYEDHASH: {
      const scheme = readKeyedHashScheme(reader);
      return { type: 'keyedhash', ...common, scheme, unique: reader.sized16(MAX_DIGEST) };
    }
    case TPM_ALG.SYMCIPHER: {
      const symmetric = readSymmetric(reader);
      return { type: 'symcipher', ...common, symmetric, unique: reader.sized16(MAX_DIGEST) };
    }
    default:
      return reader.malformed(`unknown object type 0x${type.toString(16)}`);
  }
}

function readRsa(reader: Reader, common: CommonPublic): RsaPublic {
  return {
    type: 'rsa',
    ...common,
    symmetric: readSymmetric(reader),
    scheme: readScheme(reader, 'rsa'),
    keyBits: reader.u16(),
    exponent: reader.u32(),
    modulus: reader.sized16(MAX_RSA),
  };
}

function readEcc(reader: Reader, common: CommonPublic): EccPublic {
  const symmetric = readSymmetric(reader);
  const scheme = readScheme(reader, 'ecc');
  const curve = readCurve(reader);
  const kdf = readKdf(reader);
  const size = curveSize(curve);
  return {
    type: 'ecc',
    ...common,
    symmetric,
    scheme,
    curve,
    kdf,
    x: reader.sized16(size),
    y: reader.sized16(size),
  };
}

function readKeyedHashScheme(reader: Reader): KeyedHashPublic['scheme'] {
  const id = reader.u16();
  switch (id) {
    case TPM_ALG.NULL:
      return null;
    case TPM_ALG.HMAC:
      return { name: 'hmac', hash: readHash(reader) };
    case TPM_ALG.XOR:
      return { name: 'xor', hash: readHash(reader), kdf: reader.u16() };
    default:
      return reader.malformed(`unknown keyed-hash scheme 0x${id.toString(16)}`);
  }
}

function writeKeyedHashScheme(writer: Writer, scheme: KeyedHashPublic['scheme']): void {
  if (scheme === null) {
    writer.u16(TPM_ALG.NULL);
    return;
  }
  writer.u16(scheme.name === 'hmac' ? TPM_ALG.HMAC : TPM_ALG.XOR).u16(hashId(scheme.hash));
  if (scheme.name === 'xor') writer.u16(scheme.kdf);
}
