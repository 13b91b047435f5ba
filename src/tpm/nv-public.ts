import { Reader, Writer } from '../base/index.ts';
import { hashId, readHash } from './algorithms.ts';
import type { HashName } from './algorithms.ts';

/** TPMS_NV_PUBLIC (TPM 2.0 Part 2 §13.5): the public area of an NV index. */
export interface NvPublic {
  /** Handle, 0x01…… */
  readonly nvIndex: number;
  readonly nameAlg: HashName;
  /** TPMA_NV. */
  readonly attributes: number;
  readonly authPolicy: Uint8Array;
  /** Bytes of data. */
  readonly dataSize: number;
}

/** TPMA_NV (TPM 2.0 Part 2 §13.4): the bits that this program looks at. */
export const TPMA_NV = {
  PPREAD: 1 << 16,
  OWNERREAD: 1 << 17,
  AUTHREAD: 1 << 18,
  POLICYREAD: 1 << 19,
  NO_DA: 1 << 25,
  WRITTEN: 1 << 29,
} as const;

const MAX_DIGEST = 64;

/** A TPMS_NV_PUBLIC, without the size of a TPM2B. @throws Refusal `malformed` with the offset */
export function parseNvPublic(bytes: Uint8Array): NvPublic {
  const reader = new Reader(bytes, 'TPMS_NV_PUBLIC');
  const area: NvPublic = {
    nvIndex: reader.u32(),
    nameAlg: readHash(reader),
    attributes: reader.u32(),
    authPolicy: reader.sized16(MAX_DIGEST),
    dataSize: reader.u16(),
  };
  reader.end();
  return area;
}

/** The TPMS_NV_PUBLIC's bytes. */
export function encodeNvPublic(area: NvPublic): Uint8Array {
  return new Writer()
    .u32(area.nvIndex)
    .u16(hashId(area.nameAlg))
    .u32(area.attributes)
    .sized16(area.authPolicy)
    .u16(area.dataSize)
    .finish();
}
