import { Writer, refuse } from '../src/base/index.ts';
import {
  digestSize,
  encodePcrSelection,
  formatPcrSelection,
  hashId,
  parsePcrSelection,
} from '../src/tpm/index.ts';
import type { HashName, PcrSelection } from '../src/tpm/index.ts';
import { parseDigestList } from '../src/tpm/digest-list.ts';
import { sessionsOf } from './authorization.ts';
import type { Caller } from './caller.ts';
import type { Authorization } from './authorization.ts';

/** Values by bank, then by index. */
export type PcrValues = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>;

/** What {@link pcrRead} gives. */
export interface PcrReading {
  readonly values: PcrValues;
  /** Changes with every extend, except of PCRs that the platform excludes (16, 21–23 on the PC Client). */
  readonly updateCounter: number;
}

/** A platform that measures all the time (IMA) must not make a reader run for ever. */
const MAX_ATTEMPTS = 8;

/**
 * The values of any selection. A TPM gives eight at once, so it is asked as often as needed, and again from the
 * start when its update counter moved in between.
 * @throws Refusal `tpm-pcr` when the TPM doesn't have one of them, or PCRs never stand still
 */
export async function pcrRead(caller: Caller, selection: PcrSelection): Promise<PcrReading> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const reading = await readOnce(caller, selection);
    if (reading !== undefined) return reading;
  }
  return refuse('tpm-pcr', `PCRs kept changing while ${formatPcrSelection(selection)} was read`, {});
}

/** Undefined when a PCR changed between two answers. */
async function readOnce(caller: Caller, selection: PcrSelection): Promise<PcrReading | undefined> {
  const values = new Map<HashName, Map<number, Uint8Array>>();
  let counter: number | undefined;
  let left = selection.filter(({ pcrs }) => pcrs.length > 0);
  do {
    const [updateCounter, out, digests] = await caller.command('PCR_Read', {
      in: [encodePcrSelection(left)],
    });
    counter ??= updateCounter;
    if (counter !== updateCounter) return undefined;
    const got = parsePcrSelection(out).flatMap(({ bank, pcrs }) => pcrs.map((index) => ({ bank, index })));
    const read = parseDigestList(digests);
    read.forEach((value, i) => {
      const place = got[i];
      if (place === undefined) return;
      const bank = values.get(place.bank) ?? new Map<number, Uint8Array>();
      values.set(place.bank, bank.set(place.index, value));
    });
    const rest = left
      .map(({ bank, pcrs }) => ({ bank, pcrs: pcrs.filter((index) => !values.get(bank)?.has(index)) }))
      .filter(({ pcrs }) => pcrs.length > 0);
    // None of them: the TPM doesn't have them, or answers something else, and would for ever.
    if (left.length > 0 && count(rest) === count(left)) missing(left);
    left = rest;
  } while (left.length > 0);
  return { values, updateCounter: counter };
}

function count(selection: PcrSelection): number {
  return selection.reduce((sum, { pcrs }) => sum + pcrs.length, 0);
}

function missing(selection: PcrSelection): never {
  refuse('tpm-pcr', `this TPM has no ${formatPcrSelection(selection)}: is the bank active?`, {
    missing: formatPcrSelection(selection),
  });
}

/** TPM2_PCR_Extend. @param digests one for each bank that is to change; other active banks stay as they are */
export async function pcrExtend(
  caller: Caller,
  pcr: number,
  digests: Readonly<Partial<Record<HashName, Uint8Array>>>,
  authorization: Authorization = {},
): Promise<void> {
  const entries = Object.entries(digests) as [HashName, Uint8Array][]; // the keys are the type's own
  const list = new Writer().u32(entries.length);
  for (const [bank, value] of entries) {
    if (value.length !== digestSize(bank))
      throw new RangeError(`${bank} digest of ${String(value.length)} bytes`);
    list.u16(hashId(bank)).bytes(value);
  }
  await caller.command('PCR_Extend', {
    handles: [pcrHandle(pcr)],
    sessions: sessionsOf(1, authorization),
    in: [list.finish()],
  });
}

/** TPM2_PCR_Reset: 16 and 23 on the PC Client, for any process. */
export async function pcrReset(
  caller: Caller,
  pcr: number,
  authorization: Authorization = {},
): Promise<void> {
  await caller.command('PCR_Reset', {
    handles: [pcrHandle(pcr)],
    sessions: sessionsOf(1, authorization),
    in: [],
  });
}

/** ESAPI numbers PCRs 0…31 by themselves. */
function pcrHandle(pcr: number): number {
  if (!Number.isInteger(pcr) || pcr < 0 || pcr > 31) throw new RangeError(`PCR ${String(pcr)}`);
  return pcr;
}
