import { concat, sha256 } from '../base/index.ts';

/** Bytes of every hash of the log: SHA-256. */
export const HASH_SIZE = 32;

const LEAF_PREFIX = new Uint8Array([0]);
const NODE_PREFIX = new Uint8Array([1]);

/** Root of the tree without entries: SHA-256 of nothing (RFC 6962 §2.1). */
export const EMPTY_ROOT: Uint8Array = sha256(new Uint8Array());

/** Hash of an entry: SHA-256(0x00 ‖ entry). The prefix keeps an entry from passing for an inner node. */
export function leafHash(entry: Uint8Array): Uint8Array {
  if (entry.length >= LEAF_INPUT.length) return sha256(concat([LEAF_PREFIX, entry]));
  LEAF_INPUT.set(entry, 1);
  return sha256(new Uint8Array(LEAF_INPUT.buffer, 0, 1 + entry.length));
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== HASH_SIZE || right.length !== HASH_SIZE)
    return sha256(concat([NODE_PREFIX, left, right]));
  NODE_INPUT.set(left, 1);
  NODE_INPUT.set(right, 1 + HASH_SIZE);
  return sha256(NODE_INPUT);
}

/** One buffer for all, used and done with within one call; entries of a log are no longer than 65 535 bytes. */
const LEAF_INPUT = new Uint8Array(1 + 0xffff + 1);
LEAF_INPUT.set(LEAF_PREFIX);
const NODE_INPUT = new Uint8Array(1 + 2 * HASH_SIZE);
NODE_INPUT.set(NODE_PREFIX);

/** Root over the perfect subtrees that a tree consists of, largest (leftmost) first. */
export function rootOfNodes(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0 ? EMPTY_ROOT : hashes.reduceRight((right, left) => nodeHash(left, right));
}
