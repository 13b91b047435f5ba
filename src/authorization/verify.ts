/**
 * `sealgate/verify`: for relying parties. Checks authorizations, their chains, the holder's proof, status lists,
 * JWT-SVIDs and the audit log's proofs, offline: no TPM, no server, no network, no files. docs/AUTHORIZATION.md has the
 * guide, share/examples/relying-party a service that uses it.
 */
export { Refusal } from '../base/index.ts';
export { parseQuorumPolicy, parseVkey } from '../audit/index.ts';
export type { QuorumPolicy, VerifierKey } from '../audit/index.ts';
export { MAX_DEPTH, MAX_LIFETIME_SECONDS, SKEW_SECONDS } from './claims.ts';
export type { AuthorizationClaims, Constraints, ExecutionDetails } from './claims.ts';
export type { HolderBinding } from './holder-proof.ts';
export { keysFor } from './jwks.ts';
export type { PublicJwk, PublishedPurpose } from './jwks.ts';
export type { JwsAlgorithm, VerificationKey } from './jws.ts';
export { verifyJwtSvid } from './jwt-svid.ts';
export type { JwtSvidTrust, VerifiedJwtSvid } from './jwt-svid.ts';
export { verifyLogged } from './logged.ts';
export type { LogEvidence, LoggedDecision } from './logged.ts';
export { Nonces } from './nonces.ts';
export { REFUSED_OUTCOMES } from './outcome.ts';
export type { Outcome, RefusedOutcome } from './outcome.ts';
export { decodePresentation, encodePresentation, httpRequestDigest, present } from './presentation.ts';
export type { HttpRequest, Presentation } from './presentation.ts';
export { RelyingParty } from './relying-party.ts';
export type { RelyingPartyOptions } from './relying-party.ts';
export { statusFrom, verifyStatusList } from './status-list.ts';
export type { VerifiedStatusList } from './status-list.ts';
export { MemoryUses, useAccounts } from './uses.ts';
export type { UseAccount, UseLedger } from './uses.ts';
export { parseVector, runVector } from './vector.ts';
export type { AuthorizationVector, VectorResult } from './vector.ts';
export { examineChain, verifyAuthorization } from './verify-chain.ts';
export type {
  AuthorizationStatus,
  AuthorizationTrust,
  AuthorizationUse,
  ExaminedChain,
  ExpectedAudience,
  VerifiedAuthorization,
} from './verify-chain.ts';
