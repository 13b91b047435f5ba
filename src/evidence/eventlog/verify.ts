import { Refusal, toHex } from '../../base/index.ts';
import type { HashName, VerifiedPcrs } from '../../tpm/index.ts';
import { eventsOf } from './divergence.ts';
import type { Measurement, VerifiedFacts } from './facts.ts';
import { interpretEventLog } from './interpret.ts';
import type { Interpretation } from './interpret.ts';
import { NO_QUIRKS } from './log.ts';
import type { EventLog, LogEvent, Quirks } from './log.ts';
import { isInitial, matchEventLog } from './match.ts';
import type { PcrMatch, PcrTable } from './match.ts';
import { parseEventLog } from './parse.ts';
import type { DataTie, Problem } from './rules/context.ts';

/**
 * PCRs that user space extends without telling the firmware's log: systemd-pcrextend's phases in 11, machine id and file
 * systems in 15. What is in 12–14 a boot loader put there, which has the log at hand: unexplained it hides a command
 * line, an extension or a list of keys.
 */
const USER_SPACE_PCRS: readonly number[] = [11, 15];

/**
 * A log whose PCRs a verified quote confirms. Only {@link examineEventLog} makes one, so policy that asks for it can't
 * be given a log alone.
 */
class VerifiedEventLog {
  readonly log: EventLog;
  readonly match: PcrMatch;
  /** Facts of quoted, matching, sound PCRs. */
  readonly facts: VerifiedFacts;
  /** Rules that the log breaks: the facts that they touch are not in `facts`. */
  readonly problems: readonly Problem[];
  readonly #interpretation: Interpretation;
  readonly #byPcr = new Map<number, readonly LogEvent[]>();
  /** Makes the type nominal. */
  readonly #verified = true;

  constructor(log: EventLog, match: PcrMatch, interpretation: Interpretation) {
    this.log = log;
    this.match = match;
    // The one place where claims become facts: every PCR that `facts` come from was compared with the quote.
    this.facts = interpretation.facts as object as VerifiedFacts;
    this.problems = interpretation.problems;
    this.#interpretation = interpretation;
  }

  /** How each event's data is tied to its digest, by event index. */
  get ties(): readonly DataTie[] {
    return this.#interpretation.ties;
  }

  /** The event that a measurement came from, to explain it: its index, type and untied data are not proven. */
  eventOf({ pcr, position }: Pick<Measurement, 'pcr' | 'position'>): LogEvent | undefined {
    let events = this.#byPcr.get(pcr);
    if (events === undefined) this.#byPcr.set(pcr, (events = eventsOf(this.log, pcr)));
    return events[position];
  }

  /** True for logs that the verifier made, not for look-alikes. */
  static is(value: unknown): value is VerifiedEventLog {
    return typeof value === 'object' && value !== null && #verified in value && value.#verified;
  }
}

export type { VerifiedEventLog };

/** True for what {@link examineEventLog} made. */
export function isVerifiedEventLog(value: unknown): value is VerifiedEventLog {
  return VerifiedEventLog.is(value);
}

/** What {@link examineEventLog} found. */
export interface EventLogExamination {
  /** Set when nothing in `failures`. */
  readonly verified: VerifiedEventLog | null;
  readonly failures: readonly Refusal[];
  /** As far as the log parses. */
  readonly log: EventLog | null;
  readonly match: PcrMatch | null;
}

/**
 * Verifies an event log against quoted PCRs: (f), e24, e25 and f1–f13, without throwing.
 *
 * Failures: `no-event-log`, `malformed`, `bank-not-extended` (CVE-2021-42299), `e24` per diverging PCR or
 * `log-older-than-boot` when nothing matches, `e25` for unexplained PCRs of 0–9 and 12–14. Broken rules f2–f10 are no failures
 * here: they cost the facts that they touch and stand in `problems`.
 * @param bytes undefined or empty when the host sent none: a verdict of its own (f13), never "nothing to check"
 */
export function examineEventLog(
  bytes: Uint8Array | undefined,
  pcrs: VerifiedPcrs,
  quirks: Quirks = NO_QUIRKS,
): EventLogExamination {
  const values = tableOf(pcrs);
  if (bytes === undefined || bytes.length === 0)
    return { verified: null, failures: [withoutLog(values)], log: null, match: null };
  let log: EventLog;
  try {
    log = parseEventLog(bytes, quirks);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { verified: null, failures: [error], log: null, match: null };
  }
  const match = matchEventLog(log, values);
  const failures = matchFailures(match);
  if (failures.length > 0) return { verified: null, failures, log, match };
  const banks = [...values.keys()];
  const quoted = (pcr: number): boolean => banks.every((bank) => match.matches[bank]?.[pcr] === true);
  const interpretation = interpretEventLog(log, banks, quirks, quoted);
  return { verified: new VerifiedEventLog(log, match, interpretation), failures, log, match };
}

/** {@link examineEventLog} that throws what failed. @throws Refusal */
export function verifyEventLog(
  bytes: Uint8Array | undefined,
  pcrs: VerifiedPcrs,
  quirks: Quirks = NO_QUIRKS,
): VerifiedEventLog {
  const { verified, failures } = examineEventLog(bytes, pcrs, quirks);
  if (verified === null) throw Refusal.join(failures);
  return verified;
}

/** What a comparison says no to, as refusals; empty when the log explains every value. */
export function matchFailures(match: PcrMatch): Refusal[] {
  const notExtended = match.notExtended.map(
    (bank) =>
      new Refusal(
        'bank-not-extended',
        `PCR 0–7 of ${bank} are all initial: the firmware measured nothing there`,
        {
          bank,
        },
      ),
  );
  const notInLog = match.notInLog
    .filter((bank) => !match.notExtended.includes(bank))
    .map((bank) => new Refusal('e24', `the log has no ${bank} digests`, { bank }));
  const unexplained = match.unexplained
    .filter(({ bank, pcr }) => !USER_SPACE_PCRS.includes(pcr) && !match.notInLog.includes(bank))
    .map(
      ({ bank, pcr }) =>
        new Refusal('e25', `PCR ${String(pcr)} of ${bank} is extended, but no event says by what`, {
          bank,
          pcr,
        }),
    );
  return [...notExtended, ...notInLog, ...divergenceFailures(match), ...unexplained];
}

function divergenceFailures({ diverging, otherBoot }: PcrMatch): Refusal[] {
  if (otherBoot) {
    const pcrs = diverging.map(({ bank, pcr }) => `${bank}:${String(pcr)}`);
    return [
      new Refusal('log-older-than-boot', 'the log is of another boot: none of its PCRs has its value', {
        pcrs,
      }),
    ];
  }
  return diverging.map(({ bank, pcr, replayed, value, hint }) => {
    const detail = { bank, pcr, expected: toHex(value), got: toHex(replayed), ...(hint && { hint }) };
    return new Refusal(
      'e24',
      `PCR ${String(pcr)} of ${bank} is not what the log replays to${hint ? `: ${HINTS[hint]}` : ''}`,
      detail,
    );
  });
}

const HINTS = {
  'log-ends-before-exit-boot-services': 'the events of ExitBootServices are missing at the end of the log',
  'log-continues-after-this-value': 'the log has more events than the TPM had measured',
} as const;

/** f13: PCRs without a log. */
function withoutLog(values: PcrTable): Refusal {
  for (const [bank, ofBank] of values) {
    const extended = [...ofBank].filter(([pcr, value]) => pcr <= 15 && pcr !== 10 && !isInitial(pcr, value));
    if (extended.length > 0) {
      const pcrs = extended.map(([pcr]) => pcr);
      return new Refusal('no-event-log', 'PCRs are extended, but there is no event log', { bank, pcrs });
    }
  }
  return new Refusal('no-event-log', 'there is no event log');
}

function tableOf(pcrs: VerifiedPcrs): PcrTable {
  const table = new Map<HashName, Map<number, Uint8Array>>();
  for (const { bank, index, value } of pcrs) {
    const ofBank = table.get(bank) ?? new Map<number, Uint8Array>();
    table.set(bank, ofBank.set(index, value));
  }
  return table;
}
