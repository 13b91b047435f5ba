export {
  authoritiesShape,
  countAuthorities,
  openSigned,
  readAuthorities,
  requireThreshold,
  signAsAuthority,
} from './authorities.ts';
export type { Authorities, AuthoritiesDocument, AuthoritySignatures } from './authorities.ts';
export { POLICY_FILE, SCHEMA_FILE, buildBundle } from './build.ts';
export type { BuiltBundle, PolicySources } from './build.ts';
export type { BundleDocument, CredentialDocument, HostSetDocument } from './bundle-shape.ts';
export { BUNDLE_LIMITS, bundleBytes, hashBundle, parseBundle, readBundle } from './bundle.ts';
export type { Platform, PolicyBundle } from './bundle.ts';
export { CASES_FILE, readCases, runCases } from './cases.ts';
export type { CaseResult, PolicyCase } from './cases.ts';
export { compilePolicies } from './cedar/compile.ts';
export type { CedarPolicies, PolicyFile } from './cedar/compile.ts';
export { PolicyEngine, requireAllowed } from './cedar/engine.ts';
export type { PolicyDecision } from './cedar/engine.ts';
export { ADMIN_ACTIONS, adminRequest, enrollRequest, executeRequest, initiatorId } from './cedar/facts.ts';
export type {
  AdminAction,
  AdminFacts,
  CedarRecord,
  CedarValue,
  EnrollFacts,
  EntityUid,
  ExecuteFacts,
  HostFacts,
  PolicyAction,
  PolicyRequest,
} from './cedar/facts.ts';
export { loadCedar } from './cedar/load.ts';
export type { CedarLoader, CedarModule } from './cedar/load.ts';
export { POLICY_LIMITS } from './cedar/nesting.ts';
export { CEDAR_SCHEMA } from './cedar/schema-text.ts';
export { diffBundles } from './diff.ts';
export type { PolicyChange } from './diff.ts';
export { grantedCredentials, hostSetsOf, platformOf, selectClaims } from './grants.ts';
export type { EnrolledHost, GrantedCredential } from './grants.ts';
export { POLICY_JSON_SCHEMA } from './json-schema.ts';
export { lintBundle } from './lint.ts';
export {
  MANIFEST_TYPE,
  authenticateManifest,
  manifestBytes,
  manifestOf,
  openBundle,
  parseManifest,
  raiseHighWater,
  requireSuccessor,
  verifyManifest,
} from './manifest.ts';
export type {
  ManifestTrust,
  PolicyHighWater,
  PolicyManifest,
  SignedManifest,
  VerifiedManifest,
} from './manifest.ts';
export type { ExaminedBundle, PolicyParser } from './ports.ts';
export type { CompiledPolicies } from './cedar/compile.ts';
export { examineBundle, loadBundle } from './examine.ts';
export type { LoadedBundle } from './examine.ts';
export { escapeSegment, expandSpiffeTemplate, parseSpiffeTemplate, templateUses } from './spiffe-template.ts';
export type { SpiffeParts } from './spiffe-template.ts';
export { TRUST_BUNDLE_TYPE, readTrustBundle, trustBundleBytes } from './trust-bundle.ts';
export type { KeyPurpose, TrustBundle, TrustBundleDocument } from './trust-bundle.ts';
export {
  MAX_TRUST_CHAIN,
  openFirstTrustBundle,
  openGivenTrustChain,
  openNextTrustBundle,
  openTrustChain,
  verifyTrustChain,
} from './trust-chain.ts';
export type { TrustChain, VerifiedTrustBundle } from './trust-chain.ts';
export { goesOnFrom, openedCheckpoint, requireNotAfterClosing } from './succession.ts';
export type { Succession } from './succession.ts';
export { bothLimits, presentationOf } from './presentation.ts';
export type { PresentationLimits } from './presentation.ts';
export { demandedQuorum } from './witnessed.ts';
export type { AnsweredAction, WitnessedActions } from './witnessed.ts';
