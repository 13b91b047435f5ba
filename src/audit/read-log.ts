import { equalBytes, refuse } from '../base/index.ts';
import type { Checkpoint, UnverifiedCheckpoint } from './checkpoint.ts';
import { leafHash } from './hash.ts';
import type { AuditLeaf } from './leaf-kinds.ts';
import { parseLeaf } from './leaf.ts';
import type { TileReader } from './ports.ts';
import { proveConsistency } from './prove.ts';
import { TILE_WIDTH, parseBundle, splitTile } from './tiles.ts';
import type { BundleId, Tile } from './tiles.ts';
import { EMPTY_EDGE, appendLeaves, loadEdge } from './tree.ts';
import type { TreeEdge } from './tree.ts';
import { verifyConsistency } from './verify.ts';

/** A log as somebody shows it: a verifier over HTTPS, a directory. Nothing that comes from it is believed. */
export interface LogSource {
  checkpoint(): Promise<UnverifiedCheckpoint>;
  readonly tiles: TileReader;
  /** An entry bundle (c2sp.org/tlog-tiles): up to 256 entries. */
  bundle(id: BundleId): Promise<Uint8Array>;
}

/** How far a reading has come: enough to go on with it, a few hashes. */
export interface ReadingState {
  readonly edge: TreeEdge;
  /** Of the entry read last, ISO 8601; empty before the first or where only hashes were read. */
  readonly time: string;
  /** Entries read, by kind. */
  readonly kinds: Readonly<Record<string, number>>;
}

export const READ_NOTHING: ReadingState = { edge: EMPTY_EDGE, time: '', kinds: {} };

/** What {@link readLog} found in a log whose root is the checkpoint's. */
export interface LogRead {
  readonly from: bigint;
  readonly to: bigint;
  readonly kinds: Readonly<Record<string, number>>;
}

/** From where, of what, and who is told. */
export interface ReadOptions {
  /** Go on with this reading. */
  readonly from?: ReadingState;
  /** `entries`: each entry, and its place in the tiles; `tiles`: hashes only, for who may not read entries. */
  readonly what?: 'entries' | 'tiles';
  /** Whether the tiles that the entries make are compared with those that are shown; default: no. */
  readonly compareTiles?: boolean;
  /** Called after each bundle. */
  readonly onProgress?: (state: ReadingState) => void;
  /** Called with each entry, before it is known whether the whole is right. */
  readonly onEntry?: (leaf: AuditLeaf) => void;
}

const WIDTH = BigInt(TILE_WIDTH);

/**
 * Reads a log below a verified checkpoint from its first entry (or from where a reading stopped) to its last, and
 * recomputes the root: every entry well formed, at its own index, none older than the one before.
 * @throws Refusal `log-root` when it is not the log of the checkpoint; `log-tile`; `malformed`
 */
export async function readLog(
  source: LogSource,
  { size, root }: Checkpoint,
  options: ReadOptions = {},
): Promise<LogRead> {
  let state = options.from ?? READ_NOTHING;
  const from = state.edge.size;
  if (from > size)
    refuse('log-root', 'the reading has come further than the checkpoint', { size: String(size) });
  let growing: readonly Tile[] = [];
  while (state.edge.size < size) {
    const read = await nextBundle(source, state, size, options);
    const { edge, root: grown, tiles } = appendLeaves(state.edge, read.hashes);
    state = { edge, time: read.time, kinds: read.kinds };
    growing = [...growing.filter((one) => !tiles.some((tile) => isSame(one, tile))), ...tiles];
    if (edge.size === size && !equalBytes(grown, root))
      refuse('log-root', 'the entries lead to another root than the checkpoint’s', { size: String(size) });
    // Tiles that still grow are compared once, when they are as wide as they get.
    const done = edge.size === size ? growing : growing.filter(({ width }) => width === TILE_WIDTH);
    if (options.compareTiles === true || options.what === 'tiles') await compare(source, done);
    growing = growing.filter((one) => !done.includes(one));
    options.onProgress?.(state);
  }
  if (from === size && !equalBytes(appendLeaves(state.edge, []).root, root))
    refuse('log-root', 'what was read leads to another root than the checkpoint’s', { size: String(size) });
  return { from, to: size, kinds: state.kinds };
}

interface BundleRead {
  readonly hashes: readonly Uint8Array[];
  readonly time: string;
  readonly kinds: Readonly<Record<string, number>>;
}

/** What follows, up to the end of its bundle. */
async function nextBundle(
  source: LogSource,
  { edge, time, kinds }: ReadingState,
  size: bigint,
  { what, onEntry }: ReadOptions,
): Promise<BundleRead> {
  const index = edge.size / WIDTH;
  const end = (index + 1n) * WIDTH < size ? (index + 1n) * WIDTH : size;
  const width = Number(end - index * WIDTH);
  const skip = Number(edge.size - index * WIDTH);
  if (what === 'tiles') {
    const [bytes = new Uint8Array()] = await source.tiles.readTiles([{ level: 0, index, width }]);
    return { hashes: splitTile(bytes, width).slice(skip), time, kinds };
  }
  const entries = parseBundle(await source.bundle({ index, width }), width).slice(skip);
  const counted: Record<string, number> = { ...kinds };
  let newest = time;
  entries.forEach((entry, i) => {
    const leaf = parseLeaf(entry);
    requirePlace(leaf, edge.size + BigInt(i), newest);
    newest = leaf.time;
    counted[leaf.kind] = (counted[leaf.kind] ?? 0) + 1;
    onEntry?.(leaf);
  });
  return { hashes: entries.map(leafHash), time: newest, kinds: counted };
}

/** An entry says itself where it is and when it was made; both only ever go forward. */
function requirePlace({ index, time }: AuditLeaf, expected: bigint, before: string): void {
  if (index !== String(expected))
    refuse('log-root', 'an entry is at another index than it says', { index, expected: String(expected) });
  if (time < before) refuse('log-root', 'an entry is older than the one before it', { index, time, before });
}

/** The tiles that are shown are those that the entries make: whoever makes proofs of them makes right ones. */
async function compare(source: LogSource, tiles: readonly Tile[]): Promise<void> {
  const shown = await source.tiles.readTiles(tiles);
  tiles.forEach(({ level, index, bytes }, i) => {
    if (!equalBytes(shown[i] ?? new Uint8Array(), bytes))
      refuse('log-tile', 'a hash tile is not that of the entries', { level, index: String(index) });
  });
}

const isSame = (a: Tile, b: Tile): boolean => a.level === b.level && a.index === b.index;

/**
 * The state of a reading that begins after a verified checkpoint: its edge is read from tiles and compared with it.
 * @throws Refusal `log-root`, `log-tile`
 */
export async function readingAfter(source: LogSource, { size, root }: Checkpoint): Promise<ReadingState> {
  const edge = size === 0n ? EMPTY_EDGE : await loadEdge(size, source.tiles);
  if (size > 0n && !equalBytes(appendLeaves(edge, []).root, root))
    refuse('log-root', 'the log’s tiles are not those of the checkpoint before', { size: String(size) });
  return { ...READ_NOTHING, edge };
}

/**
 * That one checkpoint of a log continues another, by a proof that is made here from the tiles which are shown.
 * @throws Refusal `log-origin`, `log-consistency`, `log-tile`
 */
export async function requireContinues(
  source: LogSource,
  before: Checkpoint,
  { origin, size, root }: Checkpoint,
): Promise<void> {
  if (origin !== before.origin)
    refuse('log-origin', 'the log has another origin than the one that was verified before', { origin });
  if (before.size === 0n) return;
  if (size < before.size)
    refuse('log-consistency', 'the log is shorter than a checkpoint of it that was verified before', {
      remembered: String(before.size),
      size: String(size),
    });
  const proof = await proveConsistency(before.size, size, source.tiles);
  verifyConsistency({ oldSize: before.size, oldRoot: before.root, size, root, proof });
}
