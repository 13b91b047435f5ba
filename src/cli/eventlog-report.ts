import type { JsonObject, Refusal } from '../base/index.ts';
import type { ClaimedFacts, EventLog, EventView, PcrMatch, Quirks } from '../evidence/index.ts';
import type { HashName } from '../tpm/index.ts';

/** A broken rule or a PCR that differs, as printed; `event` is null where no event is to blame. */
interface ReportedProblem {
  readonly event: number | null;
  readonly rule: string;
  readonly reason: string;
}

/** Everything that the command knows about a log. */
export interface EventLogReport {
  readonly log: EventLog;
  readonly banks: readonly HashName[];
  readonly quirks: Quirks;
  readonly events: readonly EventView[];
  readonly replayed: JsonObject;
  readonly facts: ClaimedFacts;
  readonly match: PcrMatch | undefined;
  readonly problems: readonly ReportedProblem[];
  readonly failures: readonly Refusal[];
}
