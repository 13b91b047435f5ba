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
export { askWitness, witnessUrl } from './ask-witness.ts';
export type { WitnessAddress } from './ask-witness.ts';
export { VerifierAnswer } from './answer.ts';
export {
  approveHost,
  inviteHost,
  labelHost,
  listHosts,
  listInvitations,
  withdrawInvitation,
  moveHost,
  showHost,
} from './hosts.ts';
export type { HostLabels, HostView, InvitationOrder, Invited } from './hosts.ts';
export { fetchLineage } from './lineage.ts';
export type { ReceivedPage } from './lineage.ts';
export {
  fetchBundle,
  fetchCheckpoint,
  fetchConsistency,
  fetchEntry,
  fetchLogProof,
  fetchTile,
} from './log.ts';
export { followCheckpoint, readEntries, tileReader, verifierLog } from './follow-log.ts';
export type { EntriesOptions } from './follow-log.ts';
export { fetchPackage } from './packages.ts';
export type { PackageSubject } from './packages.ts';
export {
  policyBundle,
  policyHistory,
  publishPolicy,
  showPolicy,
  stagePolicy,
  stagedDifferences,
} from './policy.ts';
export { DEFAULT_SOCKET, askAgent } from './local/ask-agent.ts';
export type { HolderAnswer, LocalStreams, ProofQuestion } from './local/ask-agent.ts';
export {
  CHILD_SOCKET_VARIABLE,
  RENEW_SIGNALS,
  SIGNATURE_SUFFIX,
  ownExecution,
  proveHolder,
  runChild,
} from './local/run-child.ts';
export type { ChildOrder, ChildOutcome, RenewSignal } from './local/run-child.ts';
export { MAX_ANSWER_BYTES, VerifierClient } from './verifier-client.ts';
export type { RequestOptions, VerifierAddress } from './verifier-client.ts';
export { VerifierRefusal, movedMeanwhile } from './verifier-refusal.ts';
export type { ReportedDenial } from './verifier-refusal.ts';
