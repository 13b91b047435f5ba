export { asciiToBinary, evidenceList, isAsciiList } from './ascii.ts';
export type { BankMode } from './bank-chain.ts';
export type { BootAggregate, PcrSource } from './boot-aggregate.ts';
export { POLICY_FILES, RUN_DIRECTORY, compileImaRules } from './compile.ts';
export type { CompiledImaRules, ImaExpectations } from './compile.ts';
export { imaCoverage, type ImaCoverage, type KnownPolicy } from './coverage.ts';
export {
  DigestMemory,
  MAX_TEMPLATES,
  SCRATCH,
  STRIDE,
  digestEntries,
  frameEntries,
  type DigestOrder,
  type DigestedEntries,
} from './entries.ts';
export { KnownDigests, type KnownMemory } from './known-digests.ts';
export type { BufferFinding, FileFinding, ImaFindings, Listed, MeasuredKey } from './findings.ts';
export type { RunFile } from './judge.ts';
export { createSignatureCache, type SignatureCache } from './keyrings.ts';
export { lintImaRules, type RuleWarning } from './lint.ts';
export { missingFromManifest, requireArtifactMeasured, requireGatewayMeasured } from './measured.ts';
export { pathBytes, pathText } from './path-text.ts';
export { inspectIma, readImaEntries, type ImaEntry, type ImaReport } from './read-entries.ts';
export { IMA_PCR } from './pcr-chains.ts';
export { NO_IMA_RULES, imaRulesShape, parseImaRules, type ImaRules } from './rules.ts';
export { verifyIma, verifyImaWith, type ImaList } from './run-passes.ts';
export {
  isPlausible,
  type DigestLane,
  type DigestedBatch,
  type EntryBatch,
  type EntryDigester,
} from './digest-lane.ts';
export { decodeImaState, encodeImaState, imaStateDigest } from './state.ts';
export type { BankState, BootCounters, ImaState } from './state.ts';
export { isVerifiedIma, type ImaQuestion, type VerifiedIma } from './verify.ts';
