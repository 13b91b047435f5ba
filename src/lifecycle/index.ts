export { decideAttestation, judgeAttestation } from './attest.ts';
export type { AttestationAnswer } from './attest.ts';
export { attestationDigest, attestationQualifyingData } from './attestation-request.ts';
export type { AttestationRequest, RenewalRequest } from './attestation-request.ts';
export { CHALLENGE_LIFETIME_MS, checkNonce, makeNonce } from './challenge.ts';
export type { ChallengeBinding, ChallengeKey, ChallengePurpose, IssuedChallenge } from './challenge.ts';
export { decideExecution, judgeExecution, prepareExecution } from './decide.ts';
export { DENIALS, DENIAL_STATUS, toDenial } from './denial.ts';
export type { Denial, DenialCode, DenialRule, Stage } from './denial.ts';
export { EVIDENCE_TYPE, parseEvidence, treeFileDigests } from './evidence-collection.ts';
export type { ClaimedEvidence, EvidenceItem } from './evidence-collection.ts';
export * from './execution-record.ts';
export * from './execution-request.ts';
export { RELEASE_LOST, endExecution, ranOut, reportOutcome, revokeExecution } from './outcome.ts';
export type { Outcome, StoredExecution, VerifierEnd } from './outcome.ts';
export { buildPackage } from './package/build.ts';
export type { PackageSources } from './package/build.ts';
export { MAX_PACKAGE, PACKAGE_TYPE, formatPackage, parsePackage } from './package/format.ts';
export type { PackagePins } from './package/trust.ts';
export { openPackage, verifyPackage } from './package/verify.ts';
export type { OpenedPackage, PackageReport } from './package/verify.ts';
export { watchDecision } from './repeat/beside.ts';
export type { Beside, BesideResult, Judge, WatchedDecision } from './repeat/beside.ts';
export { simulateDecision } from './repeat/simulate.ts';
export type { Simulated } from './repeat/simulate.ts';
export type * from './policy-port.ts';
export type * from './ports.ts';
export { finishDecision } from './prepared.ts';
export type {
  CommittedAnswer,
  Decided,
  ExecutionAnswer,
  Prepared,
  PreparedAllow,
  PreparedDenial,
} from './prepared.ts';
export { quotedSelection, sealedSelection } from './stages/quote-stage.ts';
export { revokedRecord } from './not-revoked.ts';
export { initiatorOf, restsOn } from './rests-on.ts';
export { requirePolicy } from './stages/request-stage.ts';
