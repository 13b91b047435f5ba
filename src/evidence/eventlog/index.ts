export { describeEvent, type EventView } from './describe.ts';
export { eventsOf, firstDivergence, type FirstDivergence } from './divergence.ts';
export { eventTypeName } from './event-types.ts';
export { hexDigest } from './fast-hash.ts';
export type {
  AuthorityFacts,
  BootVariableFacts,
  ClaimedFacts,
  EventLogFacts,
  FactName,
  Measurement,
  SectionFacts,
  SecureBootState,
  SignatureDatabaseFacts,
  VerifiedFacts,
} from './facts.ts';
export { interpretEventLog, type Interpretation } from './interpret.ts';
export { NO_PCR, NO_QUIRKS, QUIRKS } from './log.ts';
export type { EventLog, LogEvent, LogFormat, Quirk, Quirks } from './log.ts';
export { matchEventLog, type Divergence, type PcrMatch, type PcrTable } from './match.ts';
export { parseEventLog } from './parse.ts';
export { replayEventLog, type ReplayedPcrs } from './replay.ts';
export { problemRefusals, type DataTie, type Problem, type RuleId } from './rules/context.ts';
export { examineEventLog, isVerifiedEventLog, matchFailures, verifyEventLog } from './verify.ts';
export type { EventLogExamination, VerifiedEventLog } from './verify.ts';
// For fuzzing and for readers of EFI variables.
export { devicePathText } from './efi/device-path.ts';
export { parseLoadOption, type LoadOption } from './efi/load-option.ts';
export { parseSignatureLists, type SignatureDatabase, type SignatureEntry } from './efi/signature-list.ts';
export { parseVariable, type EfiVariable } from './efi/variable.ts';
