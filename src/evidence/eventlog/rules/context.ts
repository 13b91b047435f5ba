import type { HashName } from '../../../tpm/index.ts';
import { Refusal, toHex } from '../../../base/index.ts';
import type { Measurement } from '../facts.ts';
import { hexDigest } from '../fast-hash.ts';
import type { EventLog, LogEvent, Quirk, Quirks } from '../log.ts';
import { extendsPcr } from '../replay.ts';

/** Rules that a log can break while it still parses; `f` is the section on format and replay. */
export type RuleId = 'f' | 'f2' | 'f3' | 'f4' | 'f5' | 'f6' | 'f7' | 'f8' | 'f10';

/** A broken rule: the facts of the event's PCR are left out. */
export interface Problem {
  readonly event: number;
  readonly rule: RuleId;
  readonly reason: string;
}

/** Broken rules as refusals, for callers to whom a log with any is no evidence. */
export function problemRefusals(problems: readonly Problem[]): Refusal[] {
  return problems.map(
    ({ event, rule, reason }) => new Refusal(rule, `event ${String(event)}: ${reason}`, { event }),
  );
}

/** How far an event's data is tied to its digest: by hashing to it, by a named sub-rule of f2, or not at all. */
export type DataTie = 'digest' | `rule:${string}` | 'no';

/**
 * One interpretation of a log in some banks. An event's data counts as tied only when it is in *every* one of them, so
 * that no bank can be given a story of its own.
 */
export class RuleContext {
  readonly log: EventLog;
  readonly banks: readonly HashName[];
  readonly problems: Problem[] = [];
  readonly #quirks: Quirks;
  readonly #broken = new Set<number>();
  readonly #byPcr = new Map<number, LogEvent[]>();
  readonly #positions: number[] = [];
  readonly #ties: (DataTie | undefined)[] = [];
  readonly #hex: (readonly string[] | undefined)[] = [];
  readonly #constants = new Map<string, readonly string[]>();

  constructor(log: EventLog, banks: readonly HashName[], quirks: Quirks) {
    this.log = log;
    this.banks = banks;
    this.#quirks = quirks;
    for (const event of log.events) {
      if (!extendsPcr(event)) continue;
      let list = this.#byPcr.get(event.pcr);
      if (list === undefined) this.#byPcr.set(event.pcr, (list = []));
      this.#positions[event.index] = list.push(event) - 1;
    }
  }

  /** The events that extend a PCR, in order. */
  events(pcr: number): readonly LogEvent[] {
    return this.#byPcr.get(pcr) ?? [];
  }

  allows(quirk: Quirk): boolean {
    return this.#quirks.has(quirk);
  }

  /** Records a broken rule; it costs the facts of the event's PCR (where one is missing: of the PCR given). */
  problem(event: Pick<LogEvent, 'index' | 'pcr'>, rule: RuleId, reason: string): void {
    this.problems.push({ event: event.index, rule, reason });
    this.#broken.add(event.pcr);
  }

  /** True while no event of the PCR broke a rule. */
  sound(pcr: number): boolean {
    return !this.#broken.has(pcr);
  }

  /** Hashes the data only when somebody asks: of most files and images nobody does. */
  tie(event: LogEvent): DataTie {
    return (this.#ties[event.index] ??=
      extendsPcr(event) && this.matches(event, event.data) ? 'digest' : 'no');
  }

  /** Data that hashes to the event's digest as it is. */
  isTied(event: LogEvent): boolean {
    return this.tie(event) !== 'no';
  }

  /** Ties an event's data by a sub-rule of f2: `preimage` is what that rule says was hashed. */
  tieBy(rule: string, event: LogEvent, preimage: Uint8Array | string): boolean {
    if (!this.matches(event, preimage)) return false;
    this.#ties[event.index] = `rule:${rule}`;
    return true;
  }

  /** H(preimage) is the event's digest in every bank (in every one that it has; a missing one breaks (f) anyway). */
  matches(event: LogEvent, preimage: Uint8Array | string): boolean {
    const digests = this.hex(event);
    let compared = 0;
    for (const [i, bank] of this.banks.entries()) {
      if (digests[i] === '') continue;
      if (hexDigest(bank, preimage) !== digests[i]) return false;
      compared++;
    }
    return compared > 0;
  }

  /** The event's digest is H(text) in at least one bank; for constants that many events are compared with. */
  isConstant(event: LogEvent, text: string): boolean {
    let expected = this.#constants.get(text);
    if (expected === undefined) {
      const bytes = Buffer.from(text, 'latin1');
      expected = this.banks.map((bank) => hexDigest(bank, bytes));
      this.#constants.set(text, expected);
    }
    const digests = this.hex(event);
    return expected.some((digest, i) => digest === digests[i]);
  }

  measurement(event: LogEvent): Measurement {
    const digests = this.hex(event);
    return {
      pcr: event.pcr,
      position: this.#positions[event.index] ?? 0,
      digests: Object.fromEntries(this.banks.map((bank, i) => [bank, digests[i] ?? ''])),
    };
  }

  /** The event's digests in the order of `banks`, as hex; empty text where it has none. */
  hex(event: LogEvent): readonly string[] {
    return (this.#hex[event.index] ??= this.banks.map((bank) =>
      toHex(event.digests[bank] ?? new Uint8Array()),
    ));
  }
}
