/**
 * Where things are in an RFC 6962 tree, without any hash: which entries each hash of a proof covers, and which
 * perfect nodes such a range consists of. Sizes and indexes are bigint: a log may pass 2^53.
 */

/** Sizes and indexes are below this: they travel as u64. */
export const SIZE_LIMIT = 1n << 64n;

/** The entries [start, end). */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** A perfect subtree: the 2^height entries from index × 2^height on. */
export interface Node {
  readonly height: number;
  readonly index: bigint;
}

/** Bits that are needed to write `n`; 0 for 0. */
function bitLength(n: bigint): number {
  return n === 0n ? 0 : n.toString(2).length;
}

/** The largest power of two below `n` (n ≥ 2): where RFC 6962 §2.1 splits a tree of n entries. */
function splitPoint(n: bigint): bigint {
  return 1n << BigInt(bitLength(n - 1n) - 1);
}

/** The two parts that RFC 6962 hashes a range of at least two entries from. */
export function halves({ start, end }: Range): [Range, Range] {
  const middle = start + splitPoint(end - start);
  return [
    { start, end: middle },
    { start: middle, end },
  ];
}

/**
 * True when [start, end) is a subtree: `start` a multiple of end − start, rounded up to a power of two
 * (draft-ietf-plants-merkle-tree-certs, "Definition of a Subtree").
 */
export function isSubtree({ start, end }: Range): boolean {
  if (start < 0n || start > end || end > SIZE_LIMIT) return false;
  const size = end - start;
  return size <= 1n || start % (1n << BigInt(bitLength(size - 1n))) === 0n;
}

/** The ranges of an inclusion proof for entry `index` in the subtree, from the leaf's sibling up (RFC 6962 §2.1.1). */
export function inclusionRanges(index: bigint, subtree: Range): Range[] {
  let range = subtree;
  const ranges: Range[] = [];
  while (range.end - range.start > 1n) {
    const [left, right] = halves(range);
    const isLeft = index < left.end;
    ranges.push(isLeft ? right : left);
    range = isLeft ? left : right;
  }
  return ranges.reverse();
}

/**
 * The ranges of a consistency proof between a non-empty subtree and the tree of `size` entries (RFC 6962 §2.1.2 for
 * subtrees that start at 0). The first one is left out when it is the subtree itself, which the verifier knows.
 */
export function consistencyRanges(subtree: Range, size: bigint): Range[] {
  let [start, end] = [0n, size];
  let from = subtree.start;
  let known = true;
  const ranges: Range[] = [];
  while (from !== start || subtree.end !== end) {
    const middle = start + splitPoint(end - start);
    if (subtree.end <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
      continue;
    }
    ranges.push({ start, end: middle });
    if (from < middle) {
      // The subtree covers the whole left half: what remains to be shown is its right part.
      from = middle;
      known = false;
    }
    start = middle;
  }
  if (!known) ranges.push({ start, end });
  return ranges.reverse();
}

/** The perfect nodes that a subtree consists of, from left to right; their heights fall. */
export function perfectNodes({ start, end }: Range): Node[] {
  const nodes: Node[] = [];
  let at = start;
  while (at < end) {
    const height = bitLength(end - at) - 1;
    nodes.push({ height, index: at >> BigInt(height) });
    at += 1n << BigInt(height);
  }
  return nodes;
}
