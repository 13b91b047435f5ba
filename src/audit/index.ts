export { formatCheckpoint, parseCheckpoint, verifyCheckpoint } from './checkpoint.ts';
export type { Checkpoint, UnverifiedCheckpoint } from './checkpoint.ts';
export { EMPTY_ROOT, HASH_SIZE, leafHash, nodeHash } from './hash.ts';
export type * from './leaf-kinds.ts';
export { boundedDenial, denialBody, leafBody, leafPlace, parseLeaf, saltedDigest } from './leaf.ts';
export { COMMIT_CHECKS, MOVED_CHECKS } from './ledger.ts';
export type * from './ledger.ts';
export { MAX_LOG_PROOF, formatLogProof, parseLogProof, verifyLogProof } from './log-proof.ts';
export type { LogProof, LogProofChecks, UnverifiedLogProof } from './log-proof.ts';
export {
  formatNote,
  formatSignatureLines,
  parseNote,
  parseSignatureLines,
  signNote,
  verifySignatures,
} from './note.ts';
export type { NoteSignature, SignedNote, VerifiedSignature } from './note.ts';
export type { TileReader } from './ports.ts';
export type { Node as TreeNode } from './shape.ts';
export { KnownNodes, proveConsistency, proveInclusion, treeRoot } from './prove.ts';
export { parseQuorumPolicy, verifyQuorum } from './quorum.ts';
export type { PolicyKey, QuorumPolicy, QuorumRule } from './quorum.ts';
export { MAX_ENTRY, bundlePath, encodeBundle, parseBundle, parseTilePath, tilePath } from './tiles.ts';
export type { BundleId, Tile, TileId, TilePath } from './tiles.ts';
export { READ_NOTHING, readLog, readingAfter, requireContinues } from './read-log.ts';
export type { LogRead, LogSource, ReadOptions, ReadingState } from './read-log.ts';
export { EMPTY_EDGE, appendLeaves, loadEdge, proveAppended } from './tree.ts';
export type { Appended, TreeEdge } from './tree.ts';
export { formatVkey, noteSigner, parseVkey, verifierKey } from './verifier-key.ts';
export type { KeyUse, NoteSigner, VerifierKey } from './verifier-key.ts';
export { verifyConsistency, verifyInclusion } from './verify.ts';
export type { ConsistencyClaim, InclusionClaim } from './verify.ts';
export {
  MAX_ADD_CHECKPOINT,
  SIZE_CONTENT_TYPE,
  formatAddCheckpoint,
  formatSize,
  parseAddCheckpoint,
  parseSize,
} from './witness-protocol.ts';
export type { AddCheckpoint, UnverifiedAddCheckpoint } from './witness-protocol.ts';
export { answerAddCheckpoint } from './witness.ts';
export type { WitnessAnswer, WitnessState, WitnessedHead } from './witness.ts';
