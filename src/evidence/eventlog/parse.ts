import { LIMITS, Reader, refuse } from '../../base/index.ts';
import { HASH_NAMES, hashId } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { EV } from './event-types.ts';
import { NO_PCR, NO_QUIRKS } from './log.ts';
import type { EventLog, LogEvent, Quirks } from './log.ts';
import { isSpecId, parseSpecId } from './spec-id.ts';
import type { SpecId } from './spec-id.ts';

const STRUCTURE = 'event log';
/** A TPM 2.0 has at least 24 PCRs and every PC Client platform exactly these. */
const LAST_PCR = 23;
const SHA1_SIZE = 20;
const KNOWN: ReadonlyMap<number, HashName> = new Map(HASH_NAMES.map((name) => [hashId(name), name]));

/**
 * Parses a TCG event log, crypto-agile (TCG_PCR_EVENT2) or in the SHA-1 format of TPM 1.2 times, over one buffer:
 * digests and data are views of it (PC Client Platform Firmware Profile §9).
 *
 * Limits: 4 MiB, 20 000 events, 1–8 digest algorithms, at most one digest of each an event; sizes are compared with what
 * remains before anything is read.
 * @throws Refusal `no-event-log` for an empty buffer, `malformed` otherwise
 */
export function parseEventLog(bytes: Uint8Array, quirks: Quirks = NO_QUIRKS): EventLog {
  if (bytes.length === 0) refuse('no-event-log', 'the event log is empty');
  if (bytes.length > LIMITS.eventLog) {
    refuse('malformed', `${STRUCTURE}: over ${String(LIMITS.eventLog)} bytes`, { structure: STRUCTURE });
  }
  const reader = new Reader(bytes, STRUCTURE);
  const first = readSha1Event(reader, 0);
  const specId = first.type === EV.NO_ACTION && isSpecId(first.data) ? parseSpecId(first.data) : undefined;
  const events: LogEvent[] = [first];
  while (reader.remaining > 0) {
    if (quirks.has('ccel-padding') && skipPadding(reader)) break;
    if (events.length >= LIMITS.eventLogEvents) reader.malformed('too many events');
    events.push(
      specId === undefined
        ? readSha1Event(reader, events.length)
        : readAgileEvent(reader, events.length, specId),
    );
  }
  const algorithms = specId?.algorithms ?? [{ id: hashId('sha1'), size: SHA1_SIZE }];
  return {
    format: specId === undefined ? 'sha1' : 'crypto-agile',
    banks: algorithms.flatMap(({ id }) => KNOWN.get(id) ?? []),
    skippedBanks: algorithms.filter(({ id }) => !KNOWN.has(id)).map(({ id }) => id),
    events,
  };
}

/** TCG_PCR_EVENT: the only record of the SHA-1 format, and the first record of a crypto-agile log. */
function readSha1Event(reader: Reader, index: number): LogEvent {
  const pcr = reader.u32le();
  const type = reader.u32le();
  checkPcr(reader, pcr, type);
  const digests = { sha1: reader.bytes(SHA1_SIZE) };
  return { index, pcr, type, digests, complete: true, data: reader.bytes(reader.u32le()) };
}

/**
 * TCG_PCR_EVENT2. The Spec ID event fixes which digests may follow: another one, or one twice, is refused. A missing
 * one still parses, so that the other banks can be replayed, and breaks a rule when the log is interpreted.
 */
function readAgileEvent(reader: Reader, index: number, { algorithms }: SpecId): LogEvent {
  const pcr = reader.u32le();
  const type = reader.u32le();
  checkPcr(reader, pcr, type);
  const count = reader.u32le();
  if (count > algorithms.length) {
    reader.malformed(
      `event ${String(index)} has ${String(count)} digests, declared are ${String(algorithms.length)}`,
    );
  }
  const digests: Partial<Record<HashName, Uint8Array>> = {};
  let seen = 0;
  for (let i = 0; i < count; i++) {
    const id = reader.u16le();
    const which = algorithms.findIndex((algorithm) => algorithm.id === id);
    const algorithm = algorithms[which];
    if (algorithm === undefined)
      reader.malformed(`event ${String(index)} has an undeclared digest 0x${id.toString(16)}`);
    if ((seen & (1 << which)) !== 0)
      reader.malformed(`event ${String(index)} has two digests of 0x${id.toString(16)}`);
    seen |= 1 << which;
    const digest = reader.bytes(algorithm.size);
    const name = KNOWN.get(id);
    if (name !== undefined) digests[name] = digest;
  }
  const complete = count === algorithms.length;
  return { index, pcr, type, digests, complete, data: reader.bytes(reader.u32le()) };
}

/** Out-of-range indices overran arrays in other parsers (GHSA-qp88-8f4j-wv7q, GHSA-gf8g-2r5c-74c7). */
function checkPcr(reader: Reader, pcr: number, type: number): void {
  if (pcr <= LAST_PCR || (pcr === NO_PCR && type === EV.NO_ACTION)) return;
  reader.malformed(`PCR index ${String(pcr)} with event type 0x${type.toString(16)}`);
}

/** True when everything that is left is 0xFF, the filling of a CCEL table; it is consumed. */
function skipPadding(reader: Reader): boolean {
  const next = reader.peek(Math.min(8, reader.remaining));
  if (next?.every((byte) => byte === 0xff) !== true) return false;
  if (!reader.rest().every((byte) => byte === 0xff)) reader.malformed('data after the padding');
  return true;
}
