import { hashId } from '../../src/tpm/index.ts';
import type { PcrSelection } from '../../src/tpm/index.ts';

/** PCR values as `tpm2_quote -o` of tpm2-tools 5.4 writes them: a dump of C structures, little-endian. */
export function serializedPcrs(selection: PcrSelection, digests: readonly Uint8Array[]): Uint8Array {
  const lists = Math.max(1, Math.ceil(digests.length / 8));
  const dump = Buffer.alloc(136 + 532 * lists);
  dump.writeUInt32LE(selection.length, 0);
  selection.forEach(({ bank, pcrs }, at) => {
    dump.writeUInt16LE(hashId(bank), 4 + 8 * at);
    dump.writeUInt8(3, 6 + 8 * at);
    for (const index of pcrs) {
      const byte = 7 + 8 * at + (index >> 3);
      dump.writeUInt8(dump.readUInt8(byte) | (1 << (index & 7)), byte);
    }
  });
  dump.writeUInt32LE(lists, 132);
  digests.forEach((digest, number) => {
    const list = 136 + 532 * (number >> 3);
    dump.writeUInt32LE((number & 7) + 1, list);
    dump.writeUInt16LE(digest.length, list + 4 + 66 * (number & 7));
    dump.set(digest, list + 6 + 66 * (number & 7));
  });
  return new Uint8Array(dump);
}
