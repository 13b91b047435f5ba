export {
  importAttestationKey,
  importBareKey,
  importSizedAttestationKey,
  type AttestationKey,
  type KeyScheme,
} from './attestation-key.ts';
export {
  requireStorageKey,
  verifyAkCreation,
  verifyCertify,
  type AkCreation,
  type AkCreationOptions,
  type CertifyExpectations,
  type SignedAttest,
} from './certify.ts';
export { Checks, inForm, type FormCheck } from './checks.ts';
export { requireForward, sameBoot } from './counters.ts';
export type { ChallengeRecord, EnrolledKey, QuoteExpectations, UncheckedId } from './expectations.ts';
export type { ClaimedPcrs, PcrValue, VerifiedPcrs } from './pcr-values.ts';
export {
  examineQuote,
  isVerifiedQuote,
  uncheckedQuoteChecks,
  verifyQuote,
  type QuoteEvidence,
  type QuoteExamination,
  type VerifiedQuote,
} from './verify-quote.ts';
