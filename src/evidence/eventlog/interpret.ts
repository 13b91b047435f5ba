import type { HashName } from '../../tpm/index.ts';
import { FACT_PCRS } from './facts.ts';
import type { ClaimedFacts, EventLogFacts, FactName } from './facts.ts';
import { NO_QUIRKS } from './log.ts';
import type { EventLog, Quirks } from './log.ts';
import { checkActions } from './rules/actions.ts';
import { checkTypes } from './rules/allowed-types.ts';
import { bootApplicationFacts } from './rules/boot-applications.ts';
import { bootLoaderFacts } from './rules/boot-loader.ts';
import { bootVariableFacts } from './rules/boot-variables.ts';
import { RuleContext } from './rules/context.ts';
import type { DataTie, Problem } from './rules/context.ts';
import { checkFormat, firmwareFacts } from './rules/firmware.ts';
import { secureBootFacts } from './rules/secure-boot.ts';
import { checkSeparators, isSeparator } from './rules/separators.ts';
import { unifiedKernelFacts } from './rules/unified-kernel.ts';

/** What the rules f1–f13 make of a log. */
export interface Interpretation {
  readonly problems: readonly Problem[];
  /** How each event's data is tied to its digest, by event index; computed when asked for. */
  readonly ties: readonly DataTie[];
  /** Facts of sound PCRs; claims until somebody matches the PCRs with a quote. */
  readonly facts: ClaimedFacts;
}

/**
 * Applies every rule to a parsed log.
 * @param banks the banks whose digests must tie the data; at least one, all in `log.banks`
 * @param usable limits facts further: PCRs that a quote confirms
 * @throws TypeError on an empty list of banks: without a digest nothing is tied
 */
export function interpretEventLog(
  log: EventLog,
  banks: readonly HashName[],
  quirks: Quirks = NO_QUIRKS,
  usable: (pcr: number) => boolean = () => true,
): Interpretation {
  if (banks.length === 0) throw new TypeError('interpretEventLog needs at least one bank');
  const context = new RuleContext(log, banks, quirks);
  checkFormat(context);
  checkTypes(context);
  checkSeparators(context);
  checkActions(context);
  const made: EventLogFacts = {
    ...firmwareFacts(context),
    ...bootVariableFacts(context),
    ...bootApplicationFacts(context),
    ...secureBootFacts(context),
    ...bootLoaderFacts(context),
    ...unifiedKernelFacts(context),
  };
  const good = (pcr: number): boolean => context.sound(pcr) && usable(pcr);
  const facts = only(made, (name) => factPcrs(context, name, made).every(good));
  let ties: readonly DataTie[] | undefined;
  const complete: EventLogFacts = { ...facts, separators: separatedPcrs(context).filter(good) };
  return {
    problems: context.problems,
    // Most callers never ask, and of most files and images the data was never hashed.
    get ties() {
      return (ties ??= log.events.map((event) => context.tie(event)));
    },
    // The one place where claims are made: they come from a log, by the rules above.
    facts: complete as object as ClaimedFacts,
  };
}

/** The members whose name passes. */
function only(facts: EventLogFacts, keep: (name: FactName) => boolean): EventLogFacts {
  // Sound: Object.entries of a literal of this type yields exactly its member names.
  return Object.fromEntries(Object.entries(facts).filter(([name]) => keep(name as FactName)));
}

function separatedPcrs(context: RuleContext): number[] {
  const pcrs = [0, 1, 2, 3, 4, 5, 6, 7];
  return pcrs.filter((pcr) => context.events(pcr).some((event) => isSeparator(context, event)));
}

/**
 * systemd-stub may replace a command line, so its PCRs count as soon as they are in use. Whether they are, the log alone
 * doesn't prove (whoever sends it can leave events out), so "none was measured" needs their values.
 */
function factPcrs(context: RuleContext, name: FactName, facts: EventLogFacts): readonly number[] {
  const own = FACT_PCRS[name];
  if (name !== 'kernelCommandLine') return own;
  const none = facts.kernelCommandLine?.length === 0;
  return [...own, ...[11, 12].filter((pcr) => none || context.events(pcr).length > 0)];
}
