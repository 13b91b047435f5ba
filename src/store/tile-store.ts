import type { TileReader } from '../audit/index.ts';
import type { Tile, TileId } from '../audit/tiles.ts';
import { refuse } from '../base/index.ts';
import { NodeStore } from './node-store.ts';
import { prepared } from './prepared.ts';
import type { Database } from './schema.ts';

const selectTile = prepared((db: Database, level: number, position: number) =>
  db.selectFrom('tiles').select('bytes').where('level', '=', level).where('position', '=', position),
);
const upsertTile = prepared((db: Database, level: number, position: number, bytes: Uint8Array) =>
  db
    .insertInto('tiles')
    .values({ level, position, bytes })
    .onConflict((conflict) => conflict.columns(['level', 'position']).doUpdateSet({ bytes })),
);

/** The log's hash tiles in the store, as the port that proofs read. A narrower tile is a prefix of the row. */
export function tileStore(db: Database): TileReader {
  const nodes = new NodeStore(db);
  return {
    readTiles: async (ids) => await Promise.all(ids.map((id) => readTile(db, id))),
    readNodes: async (wanted) => await nodes.read(wanted),
  };
}

async function readTile(db: Database, { level, index, width }: TileId): Promise<Uint8Array> {
  const [row] = (await selectTile(db, level, Number(index))).rows;
  const bytes = row === undefined ? new Uint8Array() : Uint8Array.from(row.bytes);
  if (bytes.length < width * 32)
    refuse('log-tile', 'the store lacks a tile of its log', { level, index: String(index) });
  return bytes.slice(0, width * 32);
}

/** Writes tiles as they are now; within the transaction that appends their leaves. */
export async function writeTiles(db: Database, tiles: readonly Tile[]): Promise<void> {
  for (const { level, index, bytes } of tiles) await upsertTile(db, level, Number(index), bytes);
}
