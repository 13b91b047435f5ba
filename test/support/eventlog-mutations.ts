import { readFileSync } from 'node:fs';
import { Refusal } from '../../src/base/index.ts';
import { interpretEventLog, matchEventLog, matchFailures, parseEventLog } from '../../src/evidence/index.ts';
import type { PcrTable } from '../../src/evidence/index.ts';
import { parsePcrValues } from '../../src/tpm/index.ts';
import { eventLogPath, readEventLog } from './eventlogs.ts';

/** A log with one thing changed. */
export interface MutatedLog {
  readonly what: string;
  readonly bytes: Uint8Array;
}

/** How densely to mutate. */
interface Steps {
  readonly stride: number;
  readonly headerStride: number;
  readonly pcrStride: number;
  readonly masks: readonly number[];
}

const TYPES = [
  ...Array.from({ length: 0x14 }, (_, type) => type),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb, 0xc, 0xd, 0x10, 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xff].map(
    (t) => 0x8000_0000 + t,
  ),
];

/**
 * Every single change of one kind to a log: each event under each type and in each PCR; each bit pattern of
 * `masks` in every `headerStride`th byte of the headers and every `stride`th byte of data; events left out, doubled, swapped.
 */
export function* mutations(
  log: Uint8Array,
  { stride, headerStride, pcrStride, masks }: Steps,
): Generator<MutatedLog> {
  const { events } = parseEventLog(log);
  let start = 0;
  for (const [i, { index, pcr, type, data }] of events.entries()) {
    const dataStart = data.byteOffset - log.byteOffset;
    const end = dataStart + data.length;
    for (const other of TYPES.filter((t) => t !== type))
      yield { what: `event ${index} type ${other.toString(16)}`, bytes: with32(log, start + 4, other) };
    for (let other = 0; other < 24; other += pcrStride)
      if (other !== pcr) yield { what: `event ${index} PCR ${other}`, bytes: with32(log, start, other) };
    for (let at = start + 8; at < end; at += at < dataStart ? headerStride : stride)
      for (const mask of masks)
        yield {
          what: `event ${index} byte ${at - start}, data ${at - dataStart}, ^${mask}`,
          bytes: flipped(log, at, mask),
        };
    if (i > 0) {
      yield { what: `event ${index} left out`, bytes: joined(log.slice(0, start), log.slice(end)) };
      yield { what: `event ${index} doubled`, bytes: joined(log.slice(0, end), log.slice(start)) };
      const next = events[i + 1];
      if (next !== undefined) {
        const nextEnd = next.data.byteOffset - log.byteOffset + next.data.length;
        yield {
          what: `event ${index} swapped`,
          bytes: joined(
            log.slice(0, start),
            log.slice(end, nextEnd),
            log.slice(start, end),
            log.slice(nextEnd),
          ),
        };
      }
    }
    start = end;
  }
}

function with32(log: Uint8Array, at: number, value: number): Uint8Array {
  const out = Uint8Array.from(log);
  new DataView(out.buffer).setUint32(at, value >>> 0, true);
  return out;
}

function flipped(log: Uint8Array, at: number, mask: number): Uint8Array {
  const out = Uint8Array.from(log);
  out[at]! ^= mask;
  return out;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A real boot's log with the values of its sha256 bank. */
export function realBoot(name: string): { log: Uint8Array; values: PcrTable } {
  const all = parsePcrValues(readFileSync(eventLogPath(`boots/${name}/pcrs.json`)));
  return {
    log: readEventLog(`boots/${name}/eventlog.bin`),
    values: new Map([['sha256', all.get('sha256')!]]),
  };
}

/** Undefined when a log is refused under these values, else everything that is reported of it, as text. */
export function reported(log: Uint8Array, values: PcrTable): string | undefined {
  try {
    const parsed = parseEventLog(log);
    const match = matchEventLog(parsed, values);
    if (matchFailures(match).length > 0) return undefined;
    const usable = (pcr: number): boolean => match.matches.sha256?.[pcr] === true;
    const { problems, facts } = interpretEventLog(parsed, ['sha256'], undefined, usable);
    return problems.length > 0
      ? undefined
      : JSON.stringify([facts, match.matches, match.unexplained, match.phases]);
  } catch (error) {
    if (error instanceof Refusal) return undefined;
    throw error;
  }
}
