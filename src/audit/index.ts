export { EMPTY_ROOT, HASH_SIZE, leafHash, nodeHash } from './hash.ts';
export type { TileReader } from './ports.ts';
export { proveConsistency, proveInclusion, treeRoot } from './prove.ts';
export { MAX_ENTRY, bundlePath, encodeBundle, parseBundle, parseTilePath, tilePath } from './tiles.ts';
export type { BundleId, Tile, TileId, TilePath } from './tiles.ts';
export { EMPTY_EDGE, appendLeaves, loadEdge } from './tree.ts';
export type { Appended, TreeEdge } from './tree.ts';
export { verifyConsistency, verifyInclusion } from './verify.ts';
export type { ConsistencyClaim, InclusionClaim } from './verify.ts';
