import { sql } from 'kysely';
import { HASH_SIZE, nodeHash } from '../audit/index.ts';
import type { TreeNode } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { prepared } from './prepared.ts';
import type { Database } from './schema.ts';

/** Levels of the tree in a tile, and in a block of it: 16 hashes, which are read together. */
const TILE = 8;
const BLOCK = 4;
const WIDTH = 1 << BLOCK;
/** Tiles whose inner nodes are kept: 1 KiB for 256 entries each, so the nodes of four million entries. */
const MAX_TILES = 16_384;

const selectPart = prepared((db: Database, level: number, position: number, from: number, bytes: number) =>
  db
    .selectFrom('tiles')
    .select(sql<Uint8Array>`substr(bytes, ${from}, ${bytes})`.as('bytes'))
    .where('level', '=', level)
    .where('position', '=', position),
);

/** The nodes of one tile over 16 to 128 of its hashes, by {@link slotOf}, as far as they are known. */
type UpperNodes = Map<number, Uint8Array>;

/** Blocks that are kept: 512 bytes each. */
const MAX_BLOCKS = 16_384;

/**
 * Hashes of perfect nodes of the log, from its tiles. A node never changes once it is complete, so those that take more
 * than 15 hashes are kept, and blocks that were read: a proof then costs a few reads of 512 bytes and O(log size) hashes,
 * whatever entry it is of.
 */
export class NodeStore {
  readonly #db: Database;
  readonly #upper = new Map<string, UpperNodes>();
  readonly #blocks = new Map<string, Uint8Array>();

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * The nodes' hashes one after the other, 32 bytes each.
   * @throws Refusal `log-tile` when the log has not all of their entries
   */
  async read(nodes: readonly TreeNode[]): Promise<Uint8Array> {
    const out = new Uint8Array(nodes.length * HASH_SIZE);
    for (const [i, { height, index }] of nodes.entries()) {
      const inTile = height % TILE;
      const place = {
        ...{ level: Math.floor(height / TILE), tile: Number(index >> BigInt(TILE - inTile)) },
        ...{ height: inTile, position: Number(BigInt.asUintN(TILE - inTile, index)) },
      };
      out.set(await (inTile < BLOCK ? this.#low(place) : this.#high(place)), i * HASH_SIZE);
    }
    return out;
  }

  /** Within a block: from its hashes. */
  async #low({ level, tile, height, position }: Place): Promise<Uint8Array> {
    const from = position << height;
    const block = await this.#block(level, tile, from >> BLOCK, (from % WIDTH) + (1 << height));
    return hashOf(split(block, from % WIDTH, 1 << height));
  }

  async #high(place: Place): Promise<Uint8Array> {
    const kept = remembered(this.#upper, `${String(place.level)}/${String(place.tile)}`, MAX_TILES, NEW_MAP);
    const { level, tile, height, position } = place;
    return (
      kept.get(slotOf(place)) ??
      fill(kept, place, split(await this.#part(level, tile, position << height, 1 << height), 0, 1 << height))
    );
  }

  /** A block, of at least `count` hashes. */
  async #block(level: number, tile: number, block: number, count: number): Promise<Uint8Array> {
    const name = `${String(level)}/${String(tile)}/${String(block)}`;
    const known = this.#blocks.get(name);
    if (known !== undefined && known.length >= count * HASH_SIZE) return known;
    const read = await this.#part(level, tile, block * WIDTH, count);
    // Another reading may have ended meanwhile that began when the block had fewer hashes.
    this.#blocks.delete(name);
    return remembered(this.#blocks, name, MAX_BLOCKS, () => read);
  }

  /** Hashes of a tile from one on: as many as there are of a block, at least `count`. */
  async #part(level: number, tile: number, from: number, count: number): Promise<Uint8Array> {
    const bytes = Math.max(count, WIDTH) * HASH_SIZE;
    const [row] = (await selectPart(this.#db, level, tile, 1 + from * HASH_SIZE, bytes)).rows;
    if (row === undefined || row.bytes.length < count * HASH_SIZE)
      return refuse('log-tile', 'the store lacks a tile of its log', { level, index: String(tile) });
    return row.bytes;
  }
}

const NEW_MAP = (): UpperNodes => new Map();

/** What is kept under a name, made if it isn't there; of at most `max` things the oldest goes. */
function remembered<T>(kept: Map<string, T>, name: string, max: number, make: () => T): T {
  const found = kept.get(name);
  if (found !== undefined) return found;
  const [oldest] = kept.size < max ? [] : kept.keys();
  if (oldest !== undefined) kept.delete(oldest);
  const made = make();
  kept.set(name, made);
  return made;
}

const split = (bytes: Uint8Array, from: number, count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => bytes.slice((from + i) * HASH_SIZE, (from + i + 1) * HASH_SIZE));

/** A node by where it is: `height` and `position` within its tile. */
interface Place {
  readonly level: number;
  readonly tile: number;
  readonly height: number;
  readonly position: number;
}

type InTile = Pick<Place, 'height' | 'position'>;

/** As in a heap: the tile's root is 0. */
const slotOf = ({ height, position }: InTile): number => (1 << (TILE - height)) - 1 + position;

/** The hash of a node, and those of the nodes below it that are worth keeping, which are kept. */
function fill(kept: UpperNodes, { height, position }: InTile, below: readonly Uint8Array[]): Uint8Array {
  if (height < BLOCK) return hashOf(below);
  const half = below.length / 2;
  const hash = nodeHash(
    fill(kept, { height: height - 1, position: 2 * position }, below.slice(0, half)),
    fill(kept, { height: height - 1, position: 2 * position + 1 }, below.slice(half)),
  );
  kept.set(slotOf({ height, position }), hash);
  return hash;
}

function hashOf(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1)
    row = Array.from({ length: row.length / 2 }, (_, i) =>
      nodeHash(row[2 * i] ?? NONE, row[2 * i + 1] ?? NONE),
    );
  return row[0] ?? NONE;
}

const NONE = new Uint8Array();
