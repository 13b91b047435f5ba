import { equalBytes, refuse } from '../base/index.ts';
import { EMPTY_ROOT, HASH_SIZE, nodeHash } from './hash.ts';
import { SIZE_LIMIT, isSubtree } from './shape.ts';
import type { Range } from './shape.ts';

/** That an entry is in a tree: {@link verifyInclusion}. */
export interface InclusionClaim {
  /** Position of the entry, from 0. */
  readonly index: bigint;
  /** Entries in the tree. */
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly leafHash: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** That a tree only grew: {@link verifyConsistency}. */
export interface ConsistencyClaim {
  readonly oldSize: bigint;
  readonly oldRoot: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/**
 * Verifies an inclusion proof (RFC 6962 §2.1.1, by the procedure of RFC 9162 §2.1.3.2).
 * @throws Refusal `log-inclusion`
 */
export function verifyInclusion(claim: InclusionClaim): void {
  verifySubtreeInclusion({ ...claim, subtree: { start: 0n, end: claim.size } });
}

/** {@link verifyInclusion} for the subtree [start, end), whose hash `root` is (draft-ietf-plants-merkle-tree-certs). */
export function verifySubtreeInclusion(claim: Omit<InclusionClaim, 'size'> & { subtree: Range }): void {
  const { start, end } = claim.subtree;
  const { index, proof, root } = claim;
  if (!isSubtree(claim.subtree)) noInclusion('not a subtree', claim);
  if (index < start || index >= end) noInclusion('the index is outside the tree', claim);
  if (!areHashes([claim.leafHash, root, ...proof])) noInclusion('a hash is not 32 bytes long', claim);
  let [fn, sn] = [index - start, end - start - 1n];
  let hash = claim.leafHash;
  for (const sibling of proof) {
    if (sn === 0n) noInclusion('more hashes than levels', claim);
    if (isOdd(fn) || fn === sn) {
      hash = nodeHash(sibling, hash);
      // At the right edge of an incomplete tree the levels without a sibling are skipped.
      while (!isOdd(fn)) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  if (sn !== 0n) noInclusion('fewer hashes than levels', claim);
  if (!equalBytes(hash, root)) noInclusion('the proof leads to another root', claim);
}

/**
 * Verifies a consistency proof (RFC 6962 §2.1.2, by the procedure of RFC 9162 §2.1.4.2). From size 0 nothing can be
 * proved, so that is refused too: who remembers no tree has nothing to be consistent with.
 * @throws Refusal `log-consistency`
 */
export function verifyConsistency(claim: ConsistencyClaim): void {
  if (claim.oldSize <= 0n) noConsistency('there is no earlier tree to be consistent with', claim);
  verifySubtreeConsistency({
    subtree: { start: 0n, end: claim.oldSize },
    subtreeRoot: claim.oldRoot,
    size: claim.size,
    root: claim.root,
    proof: claim.proof,
  });
}

/** That a subtree's entries are those of the tree: {@link verifySubtreeConsistency}. */
export interface SubtreeClaim {
  readonly subtree: Range;
  readonly subtreeRoot: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** {@link verifyConsistency} for any subtree (draft-ietf-plants-merkle-tree-certs); an empty one is in every tree. */
export function verifySubtreeConsistency(claim: SubtreeClaim): void {
  const { subtree, subtreeRoot, size, root, proof } = claim;
  if (!isSubtree(subtree)) noConsistency('not a subtree', claim);
  if (subtree.end > size || size >= SIZE_LIMIT) noConsistency('the later tree is the smaller one', claim);
  const isEmpty = subtree.start === subtree.end;
  if (isEmpty || (subtree.start === 0n && subtree.end === size)) {
    if (proof.length > 0) noConsistency('more hashes than levels', claim);
    if (!equalBytes(subtreeRoot, isEmpty ? EMPTY_ROOT : root)) noConsistency('the roots differ', claim);
    return;
  }
  if (!areHashes([subtreeRoot, root, ...proof])) noConsistency('a hash is not 32 bytes long', claim);
  const { height, first, siblings } = startOf(claim);
  const at = {
    fn: subtree.start >> height,
    sn: (subtree.end - 1n) >> height,
    tn: (size - 1n) >> height,
  };
  let [old, now] = [first, first];
  for (const sibling of siblings) {
    if (at.tn === 0n) noConsistency('more hashes than levels', claim);
    if (isOdd(at.sn) || at.sn === at.tn) {
      if (at.fn < at.sn) old = nodeHash(sibling, old);
      now = nodeHash(sibling, now);
      while (!isOdd(at.sn)) up(at);
    } else {
      now = nodeHash(now, sibling);
    }
    up(at);
  }
  if (at.tn !== 0n) noConsistency('fewer hashes than levels', claim);
  if (!equalBytes(old, subtreeRoot)) noConsistency('the proof leads to another earlier root', claim);
  if (!equalBytes(now, root)) noConsistency('the proof leads to another root', claim);
}

interface Path {
  fn: bigint;
  sn: bigint;
  tn: bigint;
}

function up(path: Path): void {
  path.fn >>= 1n;
  path.sn >>= 1n;
  path.tn >>= 1n;
}

/**
 * The node where the proof begins: the largest one that ends where the subtree ends and is in both trees. It is the
 * subtree itself (then the proof leaves it out) or the proof's first hash.
 */
function startOf({ subtree, subtreeRoot, size, proof }: SubtreeClaim): {
  height: bigint;
  first: Uint8Array;
  siblings: readonly Uint8Array[];
} {
  const path = { fn: subtree.start, sn: subtree.end - 1n, tn: size - 1n };
  const atRightEdge = path.sn === path.tn;
  let height = 0n;
  while (path.fn !== path.sn && (atRightEdge || isOdd(path.sn))) {
    up(path);
    height++;
  }
  if (path.fn === path.sn) return { height, first: subtreeRoot, siblings: proof };
  const [first, ...siblings] = proof;
  if (first === undefined) noConsistency('fewer hashes than levels', { size });
  return { height, first, siblings };
}

function isOdd(n: bigint): boolean {
  return (n & 1n) === 1n;
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === HASH_SIZE);
}

function noInclusion(reason: string, { index }: { index: bigint }): never {
  refuse('log-inclusion', `the entry is not proved to be in the log: ${reason}`, { index: String(index) });
}

function noConsistency(reason: string, { size }: { size: bigint }): never {
  refuse('log-consistency', `the log is not proved to have only grown: ${reason}`, { size: String(size) });
}
