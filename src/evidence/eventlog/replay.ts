import { digestSize } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { EV } from './event-types.ts';
import { NO_PCR } from './log.ts';
import type { EventLog, LogEvent } from './log.ts';
import { PcrState } from './pcr-state.ts';
import { readStartup } from './startup.ts';

/** PCR values that follow from a log: only the PCRs that an event extends. */
export type ReplayedPcrs = ReadonlyMap<number, Uint8Array>;

/**
 * Extends the events of one bank, from zeros. PCR 0 starts at the startup locality (the last byte: 3, or 4 for an
 * H-CRTM). PCR 17–22 are all ones only until a dynamic launch resets them, and nothing is extended into them before it,
 * so a log that has events for them replays from zeros too.
 * @param bank one of `log.banks`
 */
export function replayEventLog(log: EventLog, bank: HashName): ReplayedPcrs {
  const states = new Map<number, PcrState>();
  for (const event of log.events) {
    const digest = event.digests[bank];
    if (digest === undefined || !extendsPcr(event)) continue;
    let state = states.get(event.pcr);
    if (state === undefined) states.set(event.pcr, (state = initialState(log, bank, event.pcr)));
    state.extend(digest);
  }
  return new Map([...states].sort(([a], [b]) => a - b).map(([pcr, state]) => [pcr, state.value()]));
}

/** A PCR before the log's first event for it. */
export function initialState(log: EventLog, bank: HashName, pcr: number): PcrState {
  const start = new Uint8Array(digestSize(bank));
  if (pcr === 0) start[start.length - 1] = readStartup(log).locality;
  return new PcrState(bank, start);
}

/** EV_NO_ACTION carries information only: the TPM never saw its digest. */
export function extendsPcr(event: LogEvent): boolean {
  return event.type !== EV.NO_ACTION && event.pcr !== NO_PCR;
}
