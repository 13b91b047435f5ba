import { equalBytes } from '../../base/index.ts';
import { HASH_NAMES, digest } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { IMA_PCR } from '../ima/pcr-chains.ts';
import type { EventLog } from './log.ts';
import { explainPhases } from './pcr-phases.ts';
import { PcrState } from './pcr-state.ts';
import { extendsPcr, initialState, replayEventLog } from './replay.ts';
import { ACTION } from './rules/actions.ts';

/** PCR values by bank and index: quoted ones, or in `inspect` what somebody gives. */
export type PcrTable = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>;

/** A PCR whose value is not what the log replays to. */
export interface Divergence {
  readonly bank: HashName;
  readonly pcr: number;
  readonly replayed: Uint8Array;
  readonly value: Uint8Array;
  /** What the relation of both values says, where it says something. */
  readonly hint?: 'log-ends-before-exit-boot-services' | 'log-continues-after-this-value';
}

/** How a log relates to PCR values. PCR 10 belongs to IMA (e26) and is not looked at unless the log has events for it. */
export interface PcrMatch {
  /** bank → PCR → true when the log gives the value, or when nothing was logged and nothing extended. */
  readonly matches: Readonly<Partial<Record<HashName, Readonly<Record<number, boolean>>>>>;
  readonly diverging: readonly Divergence[];
  /** e25: extended, but the log has no event for it. */
  readonly unexplained: readonly { readonly bank: HashName; readonly pcr: number }[];
  /** What systemd-pcrphase added to PCR 11 after the log, by bank. */
  readonly phases: Readonly<Partial<Record<HashName, readonly string[]>>>;
  /** CVE-2021-42299: banks whose PCR 0–7 are all initial: the firmware measured nothing into them. */
  readonly notExtended: readonly HashName[];
  /** Banks with values for which the log has no digests. */
  readonly notInLog: readonly HashName[];
  /** Nothing but constants matches: the log belongs to another boot. */
  readonly otherBoot: boolean;
}

const PHASE_PCR = 11;
const LAST_STATIC_PCR = 15;
const EXIT_BOOT_SERVICES = [ACTION.EXIT_BOOT_SERVICES, ACTION.EXIT_BOOT_SERVICES_SUCCEEDED];

/** Compares a log with PCR values, bank by bank (e24, e25). */
export function matchEventLog(log: EventLog, values: PcrTable): PcrMatch {
  const parts = HASH_NAMES.flatMap((bank) => {
    const ofBank = values.get(bank);
    return ofBank === undefined ? [] : [new BankMatch(log, bank, ofBank)];
  });
  return {
    matches: Object.fromEntries(parts.map(({ bank, matches }) => [bank, matches])),
    diverging: parts.flatMap(({ diverging }) => diverging),
    unexplained: parts.flatMap(({ bank, unexplained }) => unexplained.map((pcr) => ({ bank, pcr }))),
    phases: Object.fromEntries(
      parts.flatMap(({ bank, phases }) => (phases.length > 0 ? [[bank, phases]] : [])),
    ),
    notExtended: parts.filter((part) => part.isNotExtended()).map(({ bank }) => bank),
    notInLog: parts.filter(({ bank }) => !log.banks.includes(bank)).map(({ bank }) => bank),
    otherBoot: parts.some((part) => part.isOtherBoot()),
  };
}

/** True for the value that a PCR has before anything is extended: zeros, PCR 0 with the startup locality. */
export function isInitial(pcr: number, value: Uint8Array): boolean {
  const zeros = pcr === 0 ? value.length - 1 : value.length;
  return value.every((byte, i) => (i < zeros ? byte === 0 : byte <= 4));
}

class BankMatch {
  readonly bank: HashName;
  readonly matches: Record<number, boolean> = {};
  readonly diverging: Divergence[] = [];
  readonly unexplained: number[] = [];
  phases: readonly string[] = [];
  readonly #log: EventLog;
  readonly #values: ReadonlyMap<number, Uint8Array>;
  readonly #replayed: ReadonlyMap<number, Uint8Array>;

  constructor(log: EventLog, bank: HashName, values: ReadonlyMap<number, Uint8Array>) {
    this.bank = bank;
    this.#log = log;
    this.#values = values;
    this.#replayed = log.banks.includes(bank) ? replayEventLog(log, bank) : new Map<number, Uint8Array>();
    for (const [pcr, value] of values) this.#compare(pcr, value, this.#replayed.get(pcr));
  }

  #compare(pcr: number, value: Uint8Array, replayed: Uint8Array | undefined): void {
    if (replayed === undefined) {
      // PCR 16–23 belong to debuggers, dynamic launch and applications, never to this log.
      if (pcr === IMA_PCR || pcr > LAST_STATIC_PCR) return;
      if (isInitial(pcr, value)) this.matches[pcr] = true;
      else this.unexplained.push(pcr);
      return;
    }
    const phases =
      pcr === PHASE_PCR && value.length === replayed.length
        ? explainPhases(this.bank, replayed, value)
        : undefined;
    if (phases !== undefined) this.phases = phases;
    const equal = phases !== undefined || equalBytes(value, replayed);
    this.matches[pcr] = equal;
    if (equal) return;
    const hint = this.#hint(pcr, value);
    this.diverging.push({ bank: this.bank, pcr, replayed, value, ...(hint && { hint }) });
  }

  /** What a person can do about a divergence depends on whether the log is too short or too long. */
  #hint(pcr: number, value: Uint8Array): Divergence['hint'] {
    const state = initialState(this.#log, this.bank, pcr);
    for (const event of this.#log.events) {
      const measured = event.digests[this.bank];
      if (event.pcr !== pcr || measured === undefined || !extendsPcr(event)) continue;
      if (state.is(value)) return 'log-continues-after-this-value';
      state.extend(measured);
    }
    // Kernels that don't read the final events table lose the two events that ExitBootServices itself makes.
    for (const text of EXIT_BOOT_SERVICES) state.extendText(text);
    return pcr === 5 && state.is(value) ? 'log-ends-before-exit-boot-services' : undefined;
  }

  /** Some firmware leaves single PCRs alone, so one of those that every firmware extends must be among the values. */
  isNotExtended(): boolean {
    const boot = [...this.#values].filter(([pcr]) => pcr <= 7);
    return (
      boot.some(([pcr]) => pcr === 0 || pcr === 4 || pcr === 7) && boot.every(([p, v]) => isInitial(p, v))
    );
  }

  /** A log of another boot still matches where only a separator was measured. */
  isOtherBoot(): boolean {
    const constant = new PcrState(this.bank).extend(digest(this.bank, new Uint8Array(4)));
    const telling = [...this.#values.keys()].filter((pcr) => {
      const replayed = this.#replayed.get(pcr);
      return replayed !== undefined && !constant.is(replayed);
    });
    return telling.length > 1 && telling.every((pcr) => this.matches[pcr] === false);
  }
}
