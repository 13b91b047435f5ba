import { LIMITS, Reader } from '../base/index.ts';

/** An entry of a binary list, as far as extending it needs. */
export interface ImaRecord {
  /** What the kernel hashes for the TPM. */
  readonly hashed: Uint8Array;
  /** The kernel extends ones in place of a digest. */
  readonly violation: boolean;
}

const MAX_NAME = 256;

/**
 * Frames of a binary list in any template but the first (`ima`, whose entries have another form).
 * @throws Refusal `malformed`
 */
export function readImaRecords(list: Uint8Array): readonly ImaRecord[] {
  const reader = new Reader(list, 'IMA list');
  const records: ImaRecord[] = [];
  while (reader.remaining > 0) {
    reader.u32le();
    const sha1 = reader.bytes(20);
    const nameLength = reader.u32le();
    if (nameLength > MAX_NAME) reader.malformed('a template’s name of impossible length');
    reader.bytes(nameLength);
    const length = reader.u32le();
    if (length > LIMITS.imaList) reader.malformed('template data of impossible length');
    records.push({ hashed: reader.bytes(length), violation: sha1.every((byte) => byte === 0) });
  }
  return records;
}
