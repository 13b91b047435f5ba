export { checkSecret, verifyActivation } from './activation.ts';
export type { Activated } from './activation.ts';
export type { Admission, AdmissionRules, Invited } from './admission.ts';
export {
  AGENT_CERTIFICATE_LIFETIME_MS,
  agentAccess,
  agentUri,
  issueAgentCertificate,
  judgeAgentCertificate,
} from './agent-certificate.ts';
export type { AgentIssuer, PresentedAgent } from './agent-certificate.ts';
export { challengeMemory } from './challenge-memory.ts';
export { CREDENTIAL_CHALLENGE_MS } from './challenge.ts';
export type { Candidate, EnrollmentChallenge } from './challenge.ts';
export type { EkTrust, JudgedEk } from './endorsement.ts';
export { activateEnrollment, beginEnrollment, pollEnrollment } from './enroll.ts';
export type { Enrolled, EnrollmentDesk, NotEnrolled } from './enroll.ts';
export { parseHost, readHost } from './host-record.ts';
export type { HostRecord, StoredHost } from './host-record.ts';
export {
  approveHost,
  holdHost,
  isHeld,
  labelHost,
  quarantineHost,
  restoreHost,
  returnHost,
  revokeHost,
} from './host-states.ts';
export type { HostTerms } from './host-states.ts';
export { MAX_TOKEN_TTL_MS, invite, listEk, parseInvitation, tokenHash, withdraw } from './invitation.ts';
export type { Invitation, InvitationContext, InvitationTerms } from './invitation.ts';
export { RECORD } from './kinds.ts';
export type { Operator } from './kinds.ts';
export { encodeOffer, parseOffer } from './offer.ts';
export type { EnrollmentOffer } from './offer.ts';
export type { EnrollmentChallenges } from './ports.ts';
export { enrollmentDigest, enrollmentQualifyingData, parseEnrollmentRequest } from './request.ts';
export type { ActivationAnswer, EnrollmentRequest } from './request.ts';
