import type { TileId } from './tiles.ts';

/** Where tiles come from: the store, a directory, another log's HTTPS prefix. The other port is in `ledger.ts`. */
export interface TileReader {
  /** The bytes of each tile, in the order asked for; the caller checks their length. Throws when one is missing. */
  readTiles(tiles: readonly TileId[]): Promise<readonly Uint8Array[]>;
}
