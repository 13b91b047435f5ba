import { LIMITS, Reader, Writer, refuse } from '../base/index.ts';
import { hashFromId, hashId } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { TPM_ALG } from './constants.ts';
import { encodePcrSelection, readPcrSelection } from './pcr-selection.ts';
import type { PcrSelection } from './pcr-selection.ts';

/** TPMS_CREATION_DATA (TPM 2.0 Part 2 §15.1): the circumstances in which a TPM created an object. */
export interface CreationData {
  readonly pcrSelection: PcrSelection;
  readonly pcrDigest: Uint8Array;
  /** TPMA_LOCALITY. */
  readonly locality: number;
  /** nameAlg of the parent; null when the parent is a hierarchy. */
  readonly parentNameAlg: HashName | null;
  readonly parentName: Uint8Array;
  readonly parentQualifiedName: Uint8Array;
  /** What the caller of TPM2_Create wanted recorded. */
  readonly outsideInfo: Uint8Array;
}

const MAX_DIGEST = 64;
const MAX_NAME = 66;

/** A TPMS_CREATION_DATA, without the size of a TPM2B. @throws Refusal `malformed` with the offset */
export function parseCreationData(bytes: Uint8Array): CreationData {
  if (bytes.length > LIMITS.tpmStructure) {
    refuse('malformed', `TPMS_CREATION_DATA: ${String(bytes.length)} bytes`, {
      structure: 'TPMS_CREATION_DATA',
    });
  }
  const reader = new Reader(bytes, 'TPMS_CREATION_DATA');
  const data: CreationData = {
    pcrSelection: readPcrSelection(reader),
    pcrDigest: reader.sized16(MAX_DIGEST),
    locality: reader.u8(),
    parentNameAlg: readParentNameAlg(reader),
    parentName: reader.sized16(MAX_NAME),
    parentQualifiedName: reader.sized16(MAX_NAME),
    outsideInfo: reader.sized16(MAX_NAME),
  };
  reader.end();
  return data;
}

/** The TPMS_CREATION_DATA's bytes. */
export function encodeCreationData(data: CreationData): Uint8Array {
  return new Writer()
    .bytes(encodePcrSelection(data.pcrSelection))
    .sized16(data.pcrDigest)
    .u8(data.locality)
    .u16(data.parentNameAlg === null ? TPM_ALG.NULL : hashId(data.parentNameAlg))
    .sized16(data.parentName)
    .sized16(data.parentQualifiedName)
    .sized16(data.outsideInfo)
    .finish();
}

function readParentNameAlg(reader: Reader): HashName | null {
  const id = reader.u16();
  return id === TPM_ALG.NULL ? null : hashFromId(id, reader.structure);
}
