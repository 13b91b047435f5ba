import { Reader, Writer, refuse } from '../base/index.ts';
import { HASH_SIZE } from './hash.ts';

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256;
/** Levels of the tree between one level of tiles and the next. */
export const TILE_HEIGHT = 8;
/** Largest entry: its length is a u16 in entry bundles. */
export const MAX_ENTRY = 0xffff;

/** A tile: `width` consecutive hashes (1 … 256; below 256 it is partial) of tile level `level`, from index × 256 on. */
export interface TileId {
  /** 0 … 63; a hash of level L covers 256^L entries. */
  readonly level: number;
  readonly index: bigint;
  readonly width: number;
}

/** A bundle of `width` entries from index × 256 on. */
export type BundleId = Omit<TileId, 'level'>;

/** A tile with its hashes, 32 bytes each. */
export interface Tile extends TileId {
  readonly bytes: Uint8Array;
}

/** Path of a tile below the log's prefix, e.g. `tile/0/x001/x234/067.p/8` (c2sp.org/tlog-tiles, "Merkle Tree"). */
export function tilePath({ level, index, width }: TileId): string {
  return `tile/${String(level)}/${indexPath(index)}${partialSuffix(width)}`;
}

/** Path of an entry bundle, e.g. `tile/entries/x001/x234/067`. */
export function bundlePath({ index, width }: BundleId): string {
  return `tile/entries/${indexPath(index)}${partialSuffix(width)}`;
}

/** What a path asks for; `level` is missing for entries. */
export type TilePath = TileId | BundleId;

const PATH =
  /^tile\/(?<level>0|[1-5]?\d|6[0-3]|entries)\/(?<index>(?:x\d{3}\/){0,6}\d{3})(?:\.p\/(?<width>[1-9]\d{0,2}))?$/;

/** Reads a path as {@link tilePath} and {@link bundlePath} write it, and in no other spelling; else undefined. */
export function parseTilePath(path: string): TilePath | undefined {
  const { level, index, width } = PATH.exec(path)?.groups ?? {};
  if (level === undefined || index === undefined) return undefined;
  const bundle = { index: BigInt(index.replace(/[x/]/g, '')), width: Number(width ?? TILE_WIDTH) };
  const parsed = level === 'entries' ? bundle : { level: Number(level), ...bundle };
  // Leading zeros, a partial tile of full width and the like have another canonical path.
  return formatTilePath(parsed) === path ? parsed : undefined;
}

function formatTilePath(path: TilePath): string {
  return 'level' in path ? tilePath(path) : bundlePath(path);
}

/** The index in groups of three digits, all but the last with an `x` before them. */
function indexPath(index: bigint): string {
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  return groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/');
}

function partialSuffix(width: number): string {
  return width === TILE_WIDTH ? '' : `.p/${String(width)}`;
}

/** The tiles at the right edge of a tree of `size` entries: at each level its last tile, unless that is full. */
export function partialTiles(size: bigint): TileId[] {
  const tiles: TileId[] = [];
  for (let level = 0, count = size; count > 0n; level++, count >>= 8n) {
    const width = Number(count & 0xffn);
    if (width > 0) tiles.push({ level, index: count >> 8n, width });
  }
  return tiles;
}

/** A tile's bytes as hashes. @throws Refusal `log-tile` when there aren't exactly `width` */
export function splitTile(bytes: Uint8Array, width: number): Uint8Array[] {
  if (bytes.length !== width * HASH_SIZE) {
    refuse('log-tile', `a tile of ${String(bytes.length)} bytes where ${String(width)} hashes should be`);
  }
  const reader = new Reader(bytes, 'tile');
  return Array.from({ length: width }, () => reader.bytes(HASH_SIZE));
}

/** Entries as a bundle: each with its length as u16 before it. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length < 1 || entries.length > TILE_WIDTH) {
    throw new RangeError(`a bundle has 1 to 256 entries, not ${String(entries.length)}`);
  }
  const writer = new Writer();
  for (const entry of entries) writer.sized16(entry);
  return writer.finish();
}

/** The entries of a bundle that must have exactly `width` of them. @throws Refusal `malformed`, `log-tile` */
export function parseBundle(bytes: Uint8Array, width: number): Uint8Array[] {
  const reader = new Reader(bytes, 'entry bundle');
  const entries: Uint8Array[] = [];
  while (reader.remaining > 0) {
    if (entries.length === width) reader.malformed('more entries than asked for');
    entries.push(reader.sized16(MAX_ENTRY));
  }
  if (entries.length !== width) {
    refuse('log-tile', `the bundle has ${String(entries.length)} entries, not ${String(width)}`);
  }
  return entries;
}
