import type { Reader, Writer } from '../base/index.ts';
import { hashId, readHash } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { TPM_ALG } from './constants.ts';

/** TPMT_SYM_DEF_OBJECT (TPM 2.0 Part 2 §11.1.7), or null for TPM_ALG_NULL. */
export interface Symmetric {
  readonly algorithm: 'aes' | 'camellia';
  readonly keyBits: 128 | 192 | 256;
  /** `null` (any mode, TPM_ALG_NULL) occurs in SYMCIPHER keys only. */
  readonly mode: 'ctr' | 'ofb' | 'cbc' | 'cfb' | 'ecb' | null;
}

/** The signing and encryption schemes of asymmetric keys (TPMT_RSA_SCHEME, TPMT_ECC_SCHEME, TPMT_ASYM_SCHEME). */
export type AsymmetricScheme =
  | {
      readonly name: 'rsassa' | 'rsapss' | 'oaep' | 'ecdsa' | 'ecschnorr' | 'ecdh' | 'ecmqv';
      readonly hash: HashName;
    }
  | { readonly name: 'ecdaa'; readonly hash: HashName; readonly count: number }
  | { readonly name: 'rsaes' };

/** TPMT_KDF_SCHEME. */
export interface KdfScheme {
  readonly name: 'mgf1' | 'kdf1-sp800-56a' | 'kdf2' | 'kdf1-sp800-108';
  readonly hash: HashName;
}

const SYMMETRIC = { aes: TPM_ALG.AES, camellia: TPM_ALG.CAMELLIA } as const;
const MODES = {
  ctr: TPM_ALG.CTR,
  ofb: TPM_ALG.OFB,
  cbc: TPM_ALG.CBC,
  cfb: TPM_ALG.CFB,
  ecb: TPM_ALG.ECB,
} as const;
const RSA_SCHEMES = {
  rsassa: TPM_ALG.RSASSA,
  rsapss: TPM_ALG.RSAPSS,
  rsaes: TPM_ALG.RSAES,
  oaep: TPM_ALG.OAEP,
} as const;
const ECC_SCHEMES = {
  ecdsa: TPM_ALG.ECDSA,
  ecdh: TPM_ALG.ECDH,
  ecdaa: TPM_ALG.ECDAA,
  ecschnorr: TPM_ALG.ECSCHNORR,
  ecmqv: TPM_ALG.ECMQV,
} as const;
const KDFS = {
  mgf1: TPM_ALG.MGF1,
  'kdf1-sp800-56a': TPM_ALG.KDF1_SP800_56A,
  kdf2: TPM_ALG.KDF2,
  'kdf1-sp800-108': TPM_ALG.KDF1_SP800_108,
} as const;

/** Reads an algorithm id that must be one of `table`; null stands for TPM_ALG_NULL where the caller allows it. */
function readFrom<Name extends string>(
  reader: Reader,
  what: string,
  table: Readonly<Record<Name, number>>,
): Name | null {
  const id = reader.u16();
  if (id === TPM_ALG.NULL) return null;
  const names = Object.keys(table) as Name[]; // a constant's own keys
  const name = names.find((candidate) => table[candidate] === id);
  return name ?? reader.malformed(`unknown ${what} 0x${id.toString(16)}`);
}

/** Reads a TPMT_SYM_DEF_OBJECT; null is TPM_ALG_NULL. */
export function readSymmetric(reader: Reader): Symmetric | null {
  const algorithm = readFrom(reader, 'symmetric algorithm', SYMMETRIC);
  if (algorithm === null) return null;
  const keyBits = reader.u16();
  if (keyBits !== 128 && keyBits !== 192 && keyBits !== 256) {
    return reader.malformed(`symmetric key of ${String(keyBits)} bits`);
  }
  return { algorithm, keyBits, mode: readFrom(reader, 'symmetric mode', MODES) };
}

/** Writes a TPMT_SYM_DEF_OBJECT. */
export function writeSymmetric(writer: Writer, symmetric: Symmetric | null): void {
  if (symmetric === null) {
    writer.u16(TPM_ALG.NULL);
    return;
  }
  const { algorithm, keyBits, mode } = symmetric;
  writer.u16(SYMMETRIC[algorithm]).u16(keyBits);
  writer.u16(mode === null ? TPM_ALG.NULL : MODES[mode]);
}

/** Reads a TPMT_RSA_SCHEME or TPMT_ECC_SCHEME; null is TPM_ALG_NULL. */
export function readScheme(reader: Reader, type: 'rsa' | 'ecc'): AsymmetricScheme | null {
  const name: AsymmetricScheme['name'] | null =
    type === 'rsa' ? readFrom(reader, 'scheme', RSA_SCHEMES) : readFrom(reader, 'scheme', ECC_SCHEMES);
  if (name === null) return null;
  if (name === 'rsaes') return { name };
  const hash = readHash(reader);
  return name === 'ecdaa' ? { name, hash, count: reader.u16() } : { name, hash };
}

/** Writes a TPMT_RSA_SCHEME or TPMT_ECC_SCHEME. */
export function writeScheme(writer: Writer, scheme: AsymmetricScheme | null): void {
  if (scheme === null) {
    writer.u16(TPM_ALG.NULL);
    return;
  }
  writer.u16({ ...RSA_SCHEMES, ...ECC_SCHEMES }[scheme.name]);
  if (scheme.name === 'rsaes') return;
  writer.u16(hashId(scheme.hash));
  if (scheme.name === 'ecdaa') writer.u16(scheme.count);
}

/** Reads a TPMT_KDF_SCHEME; null is TPM_ALG_NULL. */
export function readKdf(reader: Reader): KdfScheme | null {
  const name = readFrom(reader, 'KDF', KDFS);
  return name === null ? null : { name, hash: readHash(reader) };
}

/** Writes a TPMT_KDF_SCHEME. */
export function writeKdf(writer: Writer, kdf: KdfScheme | null): void {
  if (kdf === null) writer.u16(TPM_ALG.NULL);
  else writer.u16(KDFS[kdf.name]).u16(hashId(kdf.hash));
}
