import { Reader } from '../src/base/index.ts';
import type { Caller } from './caller.ts';

/** TPM_CAP (TPM 2.0 Part 2 §6.12). */
const CAPABILITY = { algorithms: 0, handles: 1, pcrs: 5, properties: 6, curves: 8 } as const;

/** First handle of each range that TPM_CAP_HANDLES lists (TPM_HT, TPM 2.0 Part 2 §7.2). */
export const HANDLE_RANGES = {
  nv: 0x0100_0000,
  loadedSessions: 0x0200_0000,
  savedSessions: 0x0300_0000,
  transient: 0x8000_0000,
  persistent: 0x8100_0000,
} as const;

export type HandleRange = keyof typeof HANDLE_RANGES;

/** TPM_PT (TPM 2.0 Part 2 §6.13), those in use. */
export const PROPERTY = {
  familyIndicator: 0x100,
  level: 0x101,
  revision: 0x102,
  manufacturer: 0x105,
  vendorString1: 0x106,
  firmwareVersion1: 0x10b,
  firmwareVersion2: 0x10c,
  nvBufferMax: 0x12c,
  permanent: 0x200,
  lockoutCounter: 0x20e,
  maxAuthFail: 0x20f,
  lockoutInterval: 0x210,
  lockoutRecovery: 0x211,
} as const;

/** A PCR bank of this TPM: its hash (`0x0012` for one without a name here) and the PCRs that are allocated in it. */
export interface PcrBank {
  readonly algorithm: number;
  readonly pcrs: readonly number[];
}

/** What one answer may hold (TPM2_MAX_CAP_HANDLES and the like are below). */
const AT_ONCE = 128;

/** Every handle of a range, e.g. all persistent objects. */
export async function getHandles(caller: Caller, range: HandleRange): Promise<number[]> {
  const first = HANDLE_RANGES[range];
  const handles = await getAll(caller, CAPABILITY.handles, first, (reader) => reader.u32());
  // A TPM goes on with the next range when one ends; the range is the handle's first octet.
  return handles.filter((handle) => handle >>> 24 === first >>> 24);
}

/** TPM properties from `first` on, as far as the TPM's group goes: TPM_PT → value. */
export async function getProperties(caller: Caller, first: number): Promise<ReadonlyMap<number, number>> {
  const pairs = await getAll(caller, CAPABILITY.properties, first, readTagged, ([tag]) => tag);
  return new Map(pairs);
}

/** TPM_ALG_ID of each algorithm that is implemented. */
export async function getAlgorithms(caller: Caller): Promise<number[]> {
  const read = (reader: Reader): number => {
    const id = reader.u16();
    reader.u32(); // TPMA_ALGORITHM
    return id;
  };
  return getAll(caller, CAPABILITY.algorithms, 0, read);
}

/** TPM_ECC_CURVE of each curve that is implemented. */
export async function getCurves(caller: Caller): Promise<number[]> {
  return getAll(caller, CAPABILITY.curves, 0, (reader) => reader.u16());
}

/** The PCR banks; one without PCRs is implemented but not active. */
export async function getPcrBanks(caller: Caller): Promise<PcrBank[]> {
  const read = (reader: Reader): PcrBank => ({
    algorithm: reader.u16(),
    pcrs: bits(reader.bytes(reader.u8())),
  });
  const { items } = await getCapability(caller, CAPABILITY.pcrs, 0, read);
  return items;
}

async function getAll<T>(
  caller: Caller,
  capability: number,
  first: number,
  read: (reader: Reader) => T,
  position: (item: T) => number = Number,
): Promise<T[]> {
  const all: T[] = [];
  for (let next = first, more = true; more;) {
    const answer = await getCapability(caller, capability, next, read);
    all.push(...answer.items);
    const last = answer.items.at(-1);
    // "More" without an item, or without progress, would never end.
    more = answer.more && last !== undefined && position(last) >= next;
    if (last !== undefined) next = position(last) + 1;
  }
  return all;
}

/** TPM2_GetCapability: every TPMU_CAPABILITIES is a count and that many items. */
async function getCapability<T>(
  caller: Caller,
  capability: number,
  property: number,
  read: (reader: Reader) => T,
): Promise<{ readonly items: T[]; readonly more: boolean }> {
  const [more, wire] = await caller.command('GetCapability', { in: [capability, property, AT_ONCE] });
  const reader = new Reader(wire, 'TPMS_CAPABILITY_DATA');
  if (reader.u32() !== capability) reader.malformed('another capability than asked for');
  const count = reader.u32();
  const items: T[] = [];
  while (items.length < count) items.push(read(reader));
  reader.end();
  return { items, more: more === 1 };
}

function readTagged(reader: Reader): [number, number] {
  return [reader.u32(), reader.u32()];
}

function bits(bitmap: Uint8Array): number[] {
  return [...bitmap].flatMap((byte, i) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => (byte >> bit) & 1).map((bit) => 8 * i + bit),
  );
}
