import { concat } from '../base/index.ts';
import { HASH_SIZE, nodeHash, rootOfNodes } from './hash.ts';
import type { TileReader } from './ports.ts';
import { nodeInTile, tileOf } from './prove.ts';
import { SIZE_LIMIT, halves, inclusionRanges, perfectNodes } from './shape.ts';
import type { Range } from './shape.ts';
import { TILE_HEIGHT, TILE_WIDTH, partialTiles, splitTile } from './tiles.ts';
import type { Tile } from './tiles.ts';

/** The right edge of a tree: all that is needed to append to it. O(log size) hashes; never changed in place. */
export interface TreeEdge {
  /** Entries in the tree. */
  readonly size: bigint;
  /** Hashes of the perfect subtrees that the tree consists of, largest first: one for each set bit of `size`. */
  readonly frontier: readonly Uint8Array[];
  /** By tile level: the hashes of the last tile, 0 to 255. */
  readonly partial: readonly (readonly Uint8Array[])[];
}

/** What {@link appendLeaves} gives. */
export interface Appended {
  readonly edge: TreeEdge;
  readonly root: Uint8Array;
  /** Every tile with a new hash in it, each once, as wide as it is now. A narrower one is a prefix of it. */
  readonly tiles: readonly Tile[];
}

/** The edge of the tree without entries. */
export const EMPTY_EDGE: TreeEdge = { size: 0n, frontier: [], partial: [] };

/** Appends entries by their leaf hashes: about two hashes an entry, whatever the size. */
export function appendLeaves(edge: TreeEdge, leafHashes: readonly Uint8Array[]): Appended {
  if (edge.size + BigInt(leafHashes.length) >= SIZE_LIMIT) throw new RangeError('the log is full');
  const growing = new GrowingTree(edge);
  for (const hash of leafHashes) {
    if (hash.length !== HASH_SIZE) throw new RangeError('a leaf hash is 32 bytes long');
    growing.append(hash);
  }
  const grown = growing.edge();
  return { edge: grown, root: rootOfNodes(grown.frontier), tiles: growing.changedTiles() };
}

/**
 * The inclusion proofs of the entries that {@link appendLeaves} appends, in the tree with all of them, without any
 * tile: what lies left of them is in the frontier. For one entry it costs no hash at all.
 * @param edge the one before
 */
export function proveAppended(edge: TreeEdge, leafHashes: readonly Uint8Array[]): Uint8Array[][] {
  const known = new Map<string, Uint8Array>();
  const name = ({ start, end }: Range): string => `${String(start)}-${String(end)}`;
  perfectNodes({ start: 0n, end: edge.size }).forEach(({ height, index }, i) => {
    const hash = edge.frontier[i];
    const start = index << BigInt(height);
    if (hash !== undefined) known.set(name({ start, end: start + (1n << BigInt(height)) }), hash);
  });
  leafHashes.forEach((hash, i) => {
    const start = edge.size + BigInt(i);
    known.set(name({ start, end: start + 1n }), hash);
  });
  const hashOf = (range: Range): Uint8Array => {
    let hash = known.get(name(range));
    if (hash !== undefined) return hash;
    const [left, right] = halves(range);
    known.set(name(range), (hash = nodeHash(hashOf(left), hashOf(right))));
    return hash;
  };
  const tree = { start: 0n, end: edge.size + BigInt(leafHashes.length) };
  return leafHashes.map((_, i) => inclusionRanges(edge.size + BigInt(i), tree).map(hashOf));
}

/** Reads the edge of the tree of `size` entries back from its tiles. @throws Refusal `log-tile` */
export async function loadEdge(size: bigint, tiles: TileReader): Promise<TreeEdge> {
  const ids = partialTiles(size);
  const contents = await tiles.readTiles(ids);
  const partial: Uint8Array[][] = [];
  ids.forEach(({ level, width }, i) => {
    while (partial.length < level) partial.push([]);
    partial.push(splitTile(contents[i] ?? new Uint8Array(), width));
  });
  // Every perfect subtree that ends within the last tile of its level is in that tile.
  const frontier = perfectNodes({ start: 0n, end: size }).map((node) =>
    nodeInTile(node, partial[tileOf(node, size).level] ?? []),
  );
  return { size, frontier, partial };
}

class GrowingTree {
  #size: bigint;
  readonly #frontier: Uint8Array[];
  readonly #partial: Uint8Array[][];
  readonly #full: Tile[] = [];
  readonly #changed = new Set<number>();

  constructor(edge: TreeEdge) {
    this.#size = edge.size;
    this.#frontier = [...edge.frontier];
    this.#partial = edge.partial.map((hashes) => [...hashes]);
  }

  append(leaf: Uint8Array): void {
    let hash = leaf;
    this.#store(0, hash);
    // Each trailing one bit of the size is a perfect subtree that this entry completes to one twice as large.
    for (let height = 1, rest = this.#size; (rest & 1n) === 1n; height++, rest >>= 1n) {
      const left = this.#frontier.pop();
      if (left === undefined) throw new RangeError('the edge has fewer hashes than its size needs');
      hash = nodeHash(left, hash);
      if (height % TILE_HEIGHT === 0) this.#store(height / TILE_HEIGHT, hash);
    }
    this.#frontier.push(hash);
    this.#size++;
  }

  edge(): TreeEdge {
    return { size: this.#size, frontier: this.#frontier, partial: this.#partial };
  }

  changedTiles(): Tile[] {
    const partial = [...this.#changed].sort((a, b) => a - b).map((level) => this.#tile(level));
    return [...this.#full, ...partial];
  }

  /** Adds the next hash of a tile level. #size is the number of entries before the current one. */
  #store(level: number, hash: Uint8Array): void {
    while (this.#partial.length <= level) this.#partial.push([]);
    this.#partial[level]?.push(hash);
    this.#changed.add(level);
    if (this.#partial[level]?.length !== TILE_WIDTH) return;
    this.#full.push(this.#tile(level));
    this.#partial[level] = [];
    this.#changed.delete(level);
  }

  #tile(level: number): Tile {
    const hashes = this.#partial[level] ?? [];
    const index = this.#size >> BigInt(TILE_HEIGHT * (level + 1));
    return { level, index, width: hashes.length, bytes: concat(hashes) };
  }
}
