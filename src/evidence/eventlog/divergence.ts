import type { HashName } from '../../tpm/index.ts';
import { toHex } from '../../base/index.ts';
import type { EventLog, LogEvent } from './log.ts';
import { extendsPcr } from './replay.ts';

/** The events that extend a PCR, in the order that its value proves. */
export function eventsOf(log: EventLog, pcr: number): readonly LogEvent[] {
  return log.events.filter((event) => event.pcr === pcr && extendsPcr(event));
}

/** Where a log leaves what reference values expect of a PCR. */
export interface FirstDivergence {
  /** Index of the event in the log; null when the log ends before the reference does. */
  readonly event: number | null;
  /** Position among the events of the PCR, from 0. */
  readonly position: number;
  /** Hex; null where one of both has no further event. */
  readonly expected: string | null;
  readonly got: string | null;
}

/**
 * The first event of a PCR whose digest is not the reference's: the answer to "what exactly differed?".
 * @param reference digests of the PCR's events in order, lowercase hex
 * @returns undefined when all are equal
 */
export function firstDivergence(
  log: EventLog,
  bank: HashName,
  pcr: number,
  reference: readonly string[],
): FirstDivergence | undefined {
  const events = eventsOf(log, pcr);
  for (let position = 0; position < Math.max(events.length, reference.length); position++) {
    const event = events[position];
    const digest = event?.digests[bank];
    const got = digest === undefined ? null : toHex(digest);
    const expected = reference[position] ?? null;
    if (got !== expected) return { event: event?.index ?? null, position, expected, got };
  }
  return undefined;
}
