export { appraise, isAffirming } from './appraise.ts';
export type { Appraisal, AppraisalFacts } from './appraise.ts';
export type { AppraisalCheck, AppraisalCheckId, TrustClaim } from './check.ts';
export { splitArguments } from './command-line.ts';
export { earClaims, earDigest, policyId, signEar } from './ear.ts';
export type { EarContext, EarDialect, EarKey } from './ear.ts';
export { learnReferences } from './learn.ts';
export type { GoldenEvidence, Learned } from './learn.ts';
export { REFERENCES_JSON_SCHEMA } from './references-schema.ts';
export { openUpdates, referencesAt, updateMoments } from './reference-updates.ts';
export { REFERENCES_LIMITS, imaRulesOf, parseReferences, referencesJson } from './references.ts';
export type {
  AllowedDigest,
  CommandLineRule,
  CoverageReferences,
  EventLogReferences,
  ReferenceValues,
} from './references.ts';
export type { TrustTier, TrustVector } from './trust-vector.ts';
