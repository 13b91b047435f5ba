import { Reader, Writer, refuse } from '../base/index.ts';
import { digest, hashId, readHash, isHashName } from './algorithms.ts';
import type { HashName } from './algorithms.ts';

/** The selected PCRs of one bank (TPMS_PCR_SELECTION). */
export interface PcrBankSelection {
  readonly bank: HashName;
  /** Indexes in ascending order, each once. */
  readonly pcrs: readonly number[];
  /** Bytes of the bitmap when it isn't the usual 3: kept so that encoding gives the received bytes again. */
  readonly sizeofSelect?: number;
}

/**
 * TPML_PCR_SELECTION: banks in the order in which digests are computed over them (TPM 2.0 Part 1 §17.6: list order,
 * ascending index inside a bank). A selection as received may name a bank twice or be empty; who uses it judges.
 */
export type PcrSelection = readonly PcrBankSelection[];

/** PCRs of the PC Client platform: 0…23. */
export const PCR_COUNT = 24;
/** Bytes of a bitmap over {@link PCR_COUNT} PCRs. */
const SELECT_SIZE = 3;
/** TPM2_NUM_PCR_BANKS of the reference implementation's headers; more can't be one selection. */
const MAX_BANKS = 16;

/** Reads a TPML_PCR_SELECTION at the reader's position. @throws Refusal `malformed` */
export function readPcrSelection(reader: Reader): PcrSelection {
  const count = reader.u32();
  if (count > MAX_BANKS) return reader.malformed(`${String(count)} PCR banks`);
  const selection: PcrBankSelection[] = [];
  while (selection.length < count) selection.push(readBank(reader));
  return selection;
}

/** A TPML_PCR_SELECTION, exactly. @throws Refusal `malformed` */
export function parsePcrSelection(bytes: Uint8Array): PcrSelection {
  const reader = new Reader(bytes, 'TPML_PCR_SELECTION');
  const selection = readPcrSelection(reader);
  reader.end();
  return selection;
}

/** The TPML_PCR_SELECTION's bytes. @throws RangeError for an index that its bitmap doesn't have */
export function encodePcrSelection(selection: PcrSelection): Uint8Array {
  const writer = new Writer().u32(selection.length);
  for (const { bank, pcrs, sizeofSelect = SELECT_SIZE } of selection) {
    writer.u16(hashId(bank)).u8(sizeofSelect).bytes(encodeBitmap(pcrs, sizeofSelect));
  }
  return writer.finish();
}

/**
 * The text form `sha256:0,1,7+sha384:0`, as tpm2-tools writes it (`all` stands for every PCR of the bank).
 * @throws Refusal `malformed` for unknown or repeated banks, indexes over 23, repeated or no indexes
 */
export function parsePcrSelectionText(text: string): PcrSelection {
  const selection = text.split('+').map(parseBankText);
  if (new Set(selection.map(({ bank }) => bank)).size !== selection.length) {
    refuse('malformed', 'PCR selection: a bank is named twice', { structure: 'PCR selection' });
  }
  return selection;
}

/** The text form of a selection, e.g. `sha256:0,1,7+sha384:0`. */
export function formatPcrSelection(selection: PcrSelection): string {
  return selection.map(({ bank, pcrs }) => `${bank}:${pcrs.join(',')}`).join('+');
}

/** True when both select the same PCRs of the same banks. The order of banks is the quoting side's business. */
export function samePcrSelection(a: PcrSelection, b: PcrSelection): boolean {
  if (a.length === b.length && a.every((bank, at) => sameBank(bank, b[at]))) return true;
  const normal = (selection: PcrSelection): string =>
    selection
      .map(({ bank, pcrs }) => formatPcrSelection([{ bank, pcrs: [...pcrs].sort((x, y) => x - y) }]))
      .sort()
      .join('+');
  return normal(a) === normal(b);
}

/** The usual case, without making text of it. */
function sameBank(a: PcrBankSelection, b: PcrBankSelection | undefined): boolean {
  return (
    a.bank === b?.bank && a.pcrs.length === b.pcrs.length && a.pcrs.every((index, at) => index === b.pcrs[at])
  );
}

/**
 * The digest that TPM2_Quote signs and PolicyPCR binds: H(values in selection order).
 * @param hash of the quote's signing scheme or of the policy session, never the bank's
 * @param value gives a PCR's value; undefined when it isn't known
 * @throws RangeError when a selected value isn't known
 */
export function pcrDigest(
  hash: HashName,
  selection: PcrSelection,
  value: (bank: HashName, index: number) => Uint8Array | undefined,
): Uint8Array {
  const values = selection.flatMap(({ bank, pcrs }) =>
    pcrs.map((index) => {
      const found = value(bank, index);
      if (found === undefined) throw new RangeError(`no value for PCR ${String(index)} of ${bank}`);
      return found;
    }),
  );
  return digest(hash, ...values);
}

function readBank(reader: Reader): PcrBankSelection {
  const bank = readHash(reader);
  const sizeofSelect = reader.u8();
  const pcrs: number[] = [];
  for (let byte = 0; byte < sizeofSelect; byte++) {
    const bits = reader.u8();
    for (let bit = 0; bit < 8; bit++) if ((bits >> bit) & 1) pcrs.push(8 * byte + bit);
  }
  return sizeofSelect === SELECT_SIZE ? { bank, pcrs } : { bank, pcrs, sizeofSelect };
}

function encodeBitmap(pcrs: readonly number[], size: number): Uint8Array {
  const bitmap = new Uint8Array(size);
  for (const index of pcrs) {
    const byte = Math.floor(index / 8);
    const bits = bitmap[byte];
    if (bits === undefined) throw new RangeError(`PCR ${String(index)} in a bitmap of ${String(size)} bytes`);
    bitmap[byte] = bits | (1 << (index % 8));
  }
  return bitmap;
}

function parseBankText(text: string): PcrBankSelection {
  const [bank = '', list = '', ...more] = text.split(':');
  if (!isHashName(bank) || more.length > 0 || !/^(all|(0|[1-9]\d?)(,(0|[1-9]\d?))*)$/.test(list)) {
    return refuse('malformed', `PCR selection: can't read "${text}"`, { structure: 'PCR selection' });
  }
  const pcrs =
    list === 'all' ? Array.from({ length: PCR_COUNT }, (_, index) => index) : list.split(',').map(Number);
  pcrs.sort((a, b) => a - b);
  if (pcrs.some((index, at) => index >= PCR_COUNT || index === pcrs[at - 1])) {
    return refuse('malformed', `PCR selection: index repeated or over 23 in "${text}"`, {
      structure: 'PCR selection',
    });
  }
  return { bank, pcrs };
}
