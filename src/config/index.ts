export { AGENT_SCHEMA } from './agent-schema.ts';
export type { AgentConfig } from './agent-schema.ts';
export { expiryOf } from './expiry.ts';
export type { Expiry } from './expiry.ts';
export { fingerprint, planInstallation, profileText } from './initialize.ts';
export type { InitFile, InitOrder, Installation } from './initialize.ts';
export { readCertificate, readKeyRing, readPrivateKey } from './installation.ts';
export type { KeyRing } from './installation.ts';
export { OPERATOR_DAYS, issueOperator } from './issue-operator.ts';
export type { IssuedOperator } from './issue-operator.ts';
export { configKeys } from './keys.ts';
export type { ConfigKey } from './keys.ts';
export { MAX_CONFIG, readConfig } from './load.ts';
export type { ConfigSource, Environment, LoadedConfig } from './load.ts';
export { ROLES, formatOperatorId, hasRole, parseOperatorId } from './operator-id.ts';
export type { OperatorId, Role } from './operator-id.ts';
export { PROFILE_SCHEMA } from './profile.ts';
export type { Profile } from './profile.ts';
export { referencePage } from './reference-page.ts';
export { checkSecretDirectory, readSecretFile } from './secret-files.ts';
export { publishTrustBundle, readTrustBundles } from './trust-bundles.ts';
export {
  ROTATED_BY_BUNDLE,
  bundleHas,
  documentWithKeys,
  isRotatedByBundle,
  makeKey,
  nextDocument,
  rotationOf,
} from './key-rotation.ts';
export type { RotatedKey } from './key-rotation.ts';
export { logKeysOf } from './log-keys.ts';
export { Type } from './type-builder.ts';
export { KEYS, logOrigin, verifierFiles, witnessName } from './verifier-files.ts';
export type { KeyName, KeySpec, VerifierFiles } from './verifier-files.ts';
export { TRUST_DOMAIN, VERIFIER_SCHEMA } from './verifier-schema.ts';
export type { VerifierConfig } from './verifier-schema.ts';
export { writeInstallation, writeNewFile } from './write-files.ts';
