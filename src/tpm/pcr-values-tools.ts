import { Reader } from '../base/index.ts';
import { digestSize, hashFromId } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import type { PcrSelection } from './pcr-selection.ts';
import type { ClaimedPcrs } from './quote/pcr-values.ts';

// The files that `tpm2_quote -o` of tpm2-tools 5 writes. `-F serialized` (the default) is a memory dump, little-
// endian: TPML_PCR_SELECTION with 16 slots of 8 bytes, a count of lists, and so many TPML_DIGEST with 8 slots of 66
// bytes. `-F values` is the digests alone. Slots that a count leaves out hold whatever was in memory.

const SELECTION_SLOTS = 16;
const SELECTION_SLOT_SIZE = 8;
const SELECTION_SIZE = 4 + SELECTION_SLOTS * SELECTION_SLOT_SIZE;
const DIGEST_SLOTS = 8;
const DIGEST_BUFFER = 64;
const DIGEST_LIST_SIZE = 4 + DIGEST_SLOTS * (2 + DIGEST_BUFFER);
const STRUCTURE = 'tpm2_quote PCR values';

/** True when the bytes have the sizes and counts of the serialized format. */
export function isSerializedPcrs(bytes: Uint8Array): boolean {
  if (bytes.length < SELECTION_SIZE + 4 + DIGEST_LIST_SIZE) return false;
  const reader = new Reader(bytes, STRUCTURE);
  if (reader.u32le() > SELECTION_SLOTS) return false;
  reader.bytes(SELECTION_SIZE - 4);
  return reader.u32le() * DIGEST_LIST_SIZE === reader.remaining;
}

/**
 * The values in a file of `tpm2_quote -o`, serialized format; nothing about them is verified.
 * @throws Refusal `malformed`
 */
export function parseSerializedPcrs(bytes: Uint8Array): ClaimedPcrs {
  const reader = new Reader(bytes, STRUCTURE);
  const selection = readSelection(reader.nested(SELECTION_SIZE, STRUCTURE));
  const digests: Uint8Array[] = [];
  for (let lists = reader.u32le(); lists > 0; lists--) {
    digests.push(...readDigests(reader.nested(DIGEST_LIST_SIZE, STRUCTURE)));
  }
  reader.end();
  return assign(selection, digests, reader);
}

/**
 * The values in a file of `tpm2_quote -o -F values`: it only makes sense with the selection that was quoted.
 * @throws Refusal `malformed` when its length is another one than the selection's
 */
export function parsePlainPcrs(bytes: Uint8Array, selection: PcrSelection): ClaimedPcrs {
  const reader = new Reader(bytes, STRUCTURE);
  const digests = selection.flatMap(({ bank, pcrs }) => pcrs.map(() => reader.bytes(digestSize(bank))));
  reader.end();
  return assign(selection, digests, reader);
}

function readSelection(reader: Reader): PcrSelection {
  const count = reader.u32le();
  if (count > SELECTION_SLOTS) return reader.malformed(`${String(count)} PCR banks`);
  return Array.from({ length: count }, () => {
    const bank = hashFromId(reader.u16le(), STRUCTURE);
    const size = reader.u8();
    if (size > 4) reader.malformed(`sizeofSelect ${String(size)}`);
    const bitmap = reader.bytes(4);
    reader.u8(); // padding
    const pcrs = Array.from({ length: 8 * size }, (_, index) => index);
    return { bank, pcrs: pcrs.filter((index) => ((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) };
  });
}

function readDigests(reader: Reader): Uint8Array[] {
  const count = reader.u32le();
  if (count > DIGEST_SLOTS) return reader.malformed(`${String(count)} digests`);
  return Array.from({ length: count }, () => {
    const size = reader.u16le();
    return new Reader(reader.bytes(DIGEST_BUFFER), STRUCTURE, reader.offset).bytes(size);
  });
}

/** Gives the digests, which are in selection order, to their PCRs. */
function assign(selection: PcrSelection, digests: readonly Uint8Array[], reader: Reader): ClaimedPcrs {
  const claimed = new Map<HashName, Map<number, Uint8Array>>();
  const left = [...digests];
  for (const { bank, pcrs } of selection) {
    if (claimed.has(bank)) reader.malformed(`bank ${bank} twice`);
    const values = new Map<number, Uint8Array>();
    for (const index of pcrs) values.set(index, left.shift() ?? reader.malformed('fewer values than PCRs'));
    claimed.set(bank, values);
  }
  if (left.length > 0) reader.malformed('more values than PCRs');
  return claimed;
}
