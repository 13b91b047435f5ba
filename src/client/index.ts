export {
  listExecutions,
  listOperators,
  listSecrets,
  putSecret,
  removeSecret,
  revokeOperator,
  revokeSubject,
  showExecution,
} from './administration.ts';
export type { Operators } from './administration.ts';
export {
  activateEnrollment,
  attestHost,
  beginEnrollment,
  fetchTrustBundles,
  pollEnrollment,
  reportOutcome,
  requestChallenge,
  submitExecution,
} from './agent-api.ts';
export type { AttestationSubmission, ExecutionSubmission } from './agent-api.ts';
export { VerifierAnswer } from './answer.ts';
export {
  approveHost,
  inviteHost,
  labelHost,
  listHosts,
  listInvitations,
  moveHost,
  showHost,
} from './hosts.ts';
export type { HostLabels, HostView, InvitationOrder, Invited } from './hosts.ts';
export {
  fetchBundle,
  fetchCheckpoint,
  fetchConsistency,
  fetchEntry,
  fetchLogProof,
  fetchTile,
} from './log.ts';
export { followCheckpoint, readEntries, tileReader } from './follow-log.ts';
export type { EntriesOptions, EntriesRead } from './follow-log.ts';
export { policyBundle, policyHistory, publishPolicy, showPolicy, stagePolicy } from './policy.ts';
export { MAX_ANSWER_BYTES, VerifierClient } from './verifier-client.ts';
export type { RequestOptions, VerifierAddress } from './verifier-client.ts';
export { VerifierRefusal } from './verifier-refusal.ts';
export type { ReportedDenial } from './verifier-refusal.ts';
