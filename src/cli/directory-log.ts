import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import {
  HASH_SIZE,
  bundlePath,
  encodeBundle,
  formatNote,
  parseCheckpoint,
  tilePath,
} from '../audit/index.ts';
import type { BundleId, LogSource, TileId, UnverifiedCheckpoint } from '../audit/index.ts';
import { Reader, concat, refuse } from '../base/index.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

/** Name of the newest checkpoint in a directory (c2sp.org/tlog-tiles). */
export const CHECKPOINT_FILE = 'checkpoint';
const MAX_CHECKPOINT = 128 * 1024;
/** 256 entries of the largest size. */
const MAX_BUNDLE = 256 * (2 + 0xffff);
const FULL = 256;

/**
 * A log in a directory that is laid out as c2sp.org/tlog-tiles says, which any web server may serve as it is: what
 * `audit export` writes.
 */
export function directoryLog(directory: string): LogSource {
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- what can't be read must reject, not throw
    checkpoint: async () =>
      parseCheckpoint(readInput(path.join(directory, CHECKPOINT_FILE), 'checkpoint', MAX_CHECKPOINT)),
    tiles: {
      // eslint-disable-next-line @typescript-eslint/require-await -- as above
      readTiles: async (ids) => ids.map((id) => readTile(directory, id)),
    },
    // eslint-disable-next-line @typescript-eslint/require-await -- as above
    bundle: async (id) => readBundle(directory, id),
  };
}

/** The log of `source`, whose every bundle and tile is written to `directory` as it is read. */
export function recordedLog(source: LogSource, directory: string): LogSource {
  return {
    checkpoint: () => source.checkpoint(),
    tiles: {
      readTiles: async (ids) => {
        const tiles = await source.tiles.readTiles(ids);
        tiles.forEach((bytes, i) => {
          const id = ids[i];
          if (id !== undefined) writeAt(directory, tilePath(id), bytes);
        });
        return tiles;
      },
    },
    bundle: async (id) => {
      const bytes = await source.bundle(id);
      writeAt(directory, bundlePath(id), bytes);
      return bytes;
    },
  };
}

/** Ends an export: the checkpoint is written last, so that a directory with one has all that belongs to it. */
export function writeCheckpoint(directory: string, { note }: UnverifiedCheckpoint): void {
  writeAt(directory, CHECKPOINT_FILE, formatNote(note));
}

function readTile(directory: string, id: TileId): Uint8Array {
  const bytes = readWidest(directory, (width) => tilePath({ ...id, width }), id.width, FULL * HASH_SIZE);
  if (bytes.length < id.width * HASH_SIZE)
    refuse('log-tile', 'a tile of the directory is too short', { tile: tilePath(id) });
  // A narrower tile is a prefix of a wider one.
  return bytes.slice(0, id.width * HASH_SIZE);
}

function readBundle(directory: string, id: BundleId): Uint8Array {
  const bytes = readWidest(directory, (width) => bundlePath({ ...id, width }), id.width, MAX_BUNDLE);
  const reader = new Reader(bytes, 'entry bundle');
  const entries = [];
  while (reader.remaining > 0 && entries.length < id.width) entries.push(reader.sized16(0xffff));
  if (entries.length < id.width)
    refuse('log-tile', 'an entry bundle of the directory is too short', { bundle: bundlePath(id) });
  return encodeBundle(entries);
}

/** The file of this width, or one that is wider. @throws Refusal `log-tile` when there is none */
function readWidest(
  directory: string,
  nameOf: (width: number) => string,
  width: number,
  maxBytes: number,
): Uint8Array {
  for (const one of [width, FULL, ...partialWidths(directory, nameOf)].filter((found) => found >= width)) {
    const file = path.join(directory, nameOf(one));
    const status = statSync(file, { throwIfNoEntry: false });
    if (status?.isFile() !== true) continue;
    if (status.size > maxBytes) refuse('log-tile', 'a file of the log is too large', { file });
    return concat([new Uint8Array(readFileSync(file))]);
  }
  return refuse('log-tile', 'the directory lacks a part of its log', { path: nameOf(width) });
}

function partialWidths(directory: string, nameOf: (width: number) => string): number[] {
  const folder = path.dirname(path.join(directory, nameOf(1)));
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  return readdirSync(folder)
    .filter((name) => /^[1-9]\d{0,2}$/.test(name))
    .map(Number);
}

function writeAt(directory: string, name: string, bytes: Uint8Array): void {
  const file = path.join(directory, name);
  const temporary = `${file}.${String(process.pid)}.new`;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(temporary, bytes, { mode: 0o644 });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new UsageError(`can't write ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
