import { Reader, Writer, refuse } from '../src/base/index.ts';
import { TPM_ALG, TPM_ST, hashId } from '../src/tpm/index.ts';
import type { HashName } from '../src/tpm/index.ts';

/** A TPM2B: u16 size, then the bytes. */
export function sized(bytes: Uint8Array): Uint8Array {
  return new Writer().sized16(bytes).finish();
}

/** The contents of a TPM2B, exactly. @throws Refusal `malformed` */
export function unsized(structure: string, wire: Uint8Array): Uint8Array {
  const reader = new Reader(wire, structure);
  const contents = reader.sized16();
  reader.end();
  return contents;
}

/**
 * The contents of a TPM2B whose size was asked for: tpm2-tss takes a longer one, and even a size that goes beyond the
 * response, where what an earlier one left in its buffer is read (GHSA-7638-f8gq-c475).
 * @throws Refusal `malformed`
 */
export function unsizedOf(structure: string, wire: Uint8Array, min: number, max: number): Uint8Array {
  const contents = unsized(structure, wire);
  if (contents.length < min || contents.length > max)
    refuse(
      'malformed',
      `${structure}: the TPM gave ${String(contents.length)} bytes, not what it was asked for`,
      {
        structure,
      },
    );
  return contents;
}

/** A signing scheme that a caller names for a key without one. */
export interface SigningScheme {
  readonly name: 'rsassa' | 'rsapss' | 'ecdsa';
  readonly hash: HashName;
}

/** TPMT_SIG_SCHEME; undefined is TPM_ALG_NULL: the key's own scheme. */
export function signingScheme(scheme: SigningScheme | undefined): Uint8Array {
  if (scheme === undefined) return new Writer().u16(TPM_ALG.NULL).finish();
  const ids = { rsassa: TPM_ALG.RSASSA, rsapss: TPM_ALG.RSAPSS, ecdsa: TPM_ALG.ECDSA };
  return new Writer().u16(ids[scheme.name]).u16(hashId(scheme.hash)).finish();
}

/** TPM2B_SENSITIVE_CREATE: the authValue, and the data of a sealed object. */
export function sensitiveCreate(authValue: Uint8Array, data: Uint8Array): Uint8Array {
  return sized(new Writer().sized16(authValue).sized16(data).finish());
}

/** A TPMT_TK_HASHCHECK that says nothing: what may be signed by an unrestricted key without a ticket. */
export function nullHashCheck(): Uint8Array {
  return new Writer().u16(TPM_ST.HASHCHECK).u32(0x4000_0007).sized16(new Uint8Array()).finish();
}
