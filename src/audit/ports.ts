import type { Node } from './shape.ts';
import type { TileId } from './tiles.ts';

/** Where tiles come from: the store, a directory, another log's HTTPS prefix. The other port is in `ledger.ts`. */
export interface TileReader {
  /** The bytes of each tile, in the order asked for; the caller checks their length. Throws when one is missing. */
  readTiles(tiles: readonly TileId[]): Promise<readonly Uint8Array[]>;

  /**
   * Hashes of perfect nodes, one after the other: where a source has them without whole tiles, proofs are made of them.
   * Throws when the log has not all of a node's entries.
   */
  readNodes?(nodes: readonly Node[]): Promise<Uint8Array>;
}
