import { nodeHash, rootOfNodes } from './hash.ts';
import type { TileReader } from './ports.ts';
import { consistencyRanges, inclusionRanges, perfectNodes } from './shape.ts';
import type { Node, Range } from './shape.ts';
import { TILE_HEIGHT, TILE_WIDTH, splitTile, tilePath } from './tiles.ts';
import type { TileId } from './tiles.ts';

/**
 * Makes the inclusion proof of entry `index` in the tree of `size` entries; O(log size) tiles are read, in one call.
 * @throws RangeError when the entry isn't in the tree; Refusal `log-tile` when a tile isn't as wide as it must be
 */
export async function proveInclusion(index: bigint, size: bigint, tiles: TileReader): Promise<Uint8Array[]> {
  if (index < 0n || index >= size) throw new RangeError(`no entry ${String(index)} below ${String(size)}`);
  return await hashRanges(inclusionRanges(index, { start: 0n, end: size }), size, tiles);
}

/**
 * Makes the consistency proof between the trees of `oldSize` and of `size` entries; empty for equal sizes.
 * @param known of this log: what isn't in it is read and put into it
 * @throws RangeError when there is nothing to prove (from size 0) or the sizes are the wrong way round
 */
export async function proveConsistency(
  oldSize: bigint,
  size: bigint,
  tiles: TileReader,
  known?: KnownNodes,
): Promise<Uint8Array[]> {
  if (oldSize <= 0n || oldSize > size) {
    throw new RangeError(`no consistency proof from ${String(oldSize)} to ${String(size)}`);
  }
  return await hashRanges(consistencyRanges({ start: 0n, end: oldSize }, size), size, tiles, known);
}

/** Root of the tree of `size` entries, from its tiles: what a checkpoint of that size must have. */
export async function treeRoot(size: bigint, tiles: TileReader): Promise<Uint8Array> {
  const [root] = await hashRanges([{ start: 0n, end: size }], size, tiles);
  return root ?? new Uint8Array();
}

/**
 * Hashes of perfect nodes of one log, which never change once the log has their entries; a bounded number. A proof from
 * an old size then needs what was added since the last one, and not the hashes of whole tiles again.
 */
export class KnownNodes {
  readonly #hashes = new Map<string, Uint8Array>();

  get({ height, index }: Node): Uint8Array | undefined {
    return this.#hashes.get(`${String(height)}/${String(index)}`);
  }

  /** Leaves are not kept: their hashes are in the tile as they are. */
  keep({ height, index }: Node, hash: Uint8Array): void {
    if (height === 0) return;
    if (this.#hashes.size >= MAX_KNOWN) this.#hashes.clear();
    this.#hashes.set(`${String(height)}/${String(index)}`, hash);
  }
}

/** About 1 MB. */
const MAX_KNOWN = 8192;

/** The Merkle tree hash of each range of entries; all ranges are subtrees of the tree of `size` entries. */
export async function hashRanges(
  ranges: readonly Range[],
  size: bigint,
  tiles: TileReader,
  known = new KnownNodes(),
): Promise<Uint8Array[]> {
  const nodes = ranges.map((range) => perfectNodes(range));
  const unknown = nodes.flat().filter((node) => known.get(node) === undefined);
  if (tiles.readNodes !== undefined) {
    const found = splitTile(await tiles.readNodes(unknown), unknown.length);
    const hashes = new Map(unknown.map((node, i) => [node, found[i] ?? new Uint8Array()]));
    for (const [node, hash] of hashes) known.keep(node, hash);
    return nodes.map((parts) =>
      rootOfNodes(parts.map((node) => hashes.get(node) ?? known.get(node) ?? new Uint8Array())),
    );
  }
  const wanted = new Map(unknown.map((node) => [tilePath(tileOf(node, size)), tileOf(node, size)]));
  const contents = await tiles.readTiles([...wanted.values()]);
  const hashes = new Map(
    [...wanted].map(([path, { width }], i) => [path, splitTile(contents[i] ?? new Uint8Array(), width)]),
  );
  const hashOf = (node: Node): Uint8Array => {
    const earlier = known.get(node);
    if (earlier !== undefined) return earlier;
    const hash = nodeInTile(node, hashes.get(tilePath(tileOf(node, size))) ?? []);
    known.keep(node, hash);
    return hash;
  };
  return nodes.map((parts) => rootOfNodes(parts.map(hashOf)));
}

/** The tile of the tree of `size` entries that a perfect node can be computed from. */
export function tileOf(node: Node, size: bigint): TileId {
  const level = Math.floor(node.height / TILE_HEIGHT);
  const index = node.index >> BigInt(TILE_HEIGHT - (node.height % TILE_HEIGHT));
  const count = (size >> BigInt(TILE_HEIGHT * level)) - index * BigInt(TILE_WIDTH);
  return { level, index, width: count < TILE_WIDTH ? Number(count) : TILE_WIDTH };
}

/** A perfect node's hash out of the hashes of its tile ({@link tileOf}): at most 127 hash computations. */
export function nodeInTile(node: Node, tile: readonly Uint8Array[]): Uint8Array {
  const height = node.height % TILE_HEIGHT;
  const width = 1 << height;
  const start = Number(BigInt.asUintN(TILE_HEIGHT - height, node.index)) * width;
  let hashes = tile.slice(start, start + width);
  while (hashes.length > 1) hashes = pairs(hashes);
  const [hash] = hashes;
  if (hash === undefined) throw new RangeError('the tile ends before the node');
  return hash;
}

function pairs(hashes: readonly Uint8Array[]): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let i = 0; i < hashes.length; i += 2) {
    const [left, right] = [hashes[i], hashes[i + 1]];
    if (left === undefined || right === undefined) throw new RangeError('the tile ends within the node');
    out.push(nodeHash(left, right));
  }
  return out;
}
