import { LIMITS, Reader, Writer, refuse } from '../base/index.ts';
import { hashId, readHash } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { TPM_ALG } from './constants.ts';

/** TPMT_SIGNATURE by an RSA key. */
export interface RsaSignature {
  readonly scheme: 'rsassa' | 'rsapss';
  readonly hash: HashName;
  readonly signature: Uint8Array;
}

/** TPMT_SIGNATURE by a key on an elliptic curve; r and s as sent, big-endian. */
export interface EcdsaSignature {
  readonly scheme: 'ecdsa';
  readonly hash: HashName;
  readonly r: Uint8Array;
  readonly s: Uint8Array;
}

/** TPMT_SIGNATURE (TPM 2.0 Part 2 §11.3.4). */
export type TpmSignature = RsaSignature | EcdsaSignature;

/** The largest RSA modulus, 4096 bits, in bytes. */
const MAX_RSA = 512;
/** The largest field, P-521's, in bytes. */
const MAX_ECC = 66;

/** Reads a TPMT_SIGNATURE at the reader's position. @throws Refusal `malformed`, also for TPM_ALG_NULL */
export function readSignature(reader: Reader): TpmSignature {
  const id = reader.u16();
  switch (id) {
    case TPM_ALG.RSASSA:
    case TPM_ALG.RSAPSS:
      return {
        scheme: id === TPM_ALG.RSASSA ? 'rsassa' : 'rsapss',
        hash: readHash(reader),
        signature: reader.sized16(MAX_RSA),
      };
    case TPM_ALG.ECDSA:
      return {
        scheme: 'ecdsa',
        hash: readHash(reader),
        r: reader.sized16(MAX_ECC),
        s: reader.sized16(MAX_ECC),
      };
    default:
      return reader.malformed(`unknown signature scheme 0x${id.toString(16)}`);
  }
}

/** A TPMT_SIGNATURE, exactly. @throws Refusal `malformed` with the offset */
export function parseSignature(bytes: Uint8Array): TpmSignature {
  if (bytes.length > LIMITS.tpmStructure) {
    refuse('malformed', `TPMT_SIGNATURE: ${String(bytes.length)} bytes`, { structure: 'TPMT_SIGNATURE' });
  }
  const reader = new Reader(bytes, 'TPMT_SIGNATURE');
  const signature = readSignature(reader);
  reader.end();
  return signature;
}

/** The TPMT_SIGNATURE's bytes. */
export function encodeSignature(signature: TpmSignature): Uint8Array {
  const writer = new Writer().u16(SCHEME_IDS[signature.scheme]).u16(hashId(signature.hash));
  if (signature.scheme === 'ecdsa') writer.sized16(signature.r).sized16(signature.s);
  else writer.sized16(signature.signature);
  return writer.finish();
}

const SCHEME_IDS = { rsassa: TPM_ALG.RSASSA, rsapss: TPM_ALG.RSAPSS, ecdsa: TPM_ALG.ECDSA } as const;
