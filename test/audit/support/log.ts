import { leafHash } from '../../../src/audit/hash.ts';
import type { TileReader } from '../../../src/audit/ports.ts';
import { tilePath } from '../../../src/audit/tiles.ts';
import { EMPTY_EDGE, appendLeaves } from '../../../src/audit/tree.ts';
import type { TreeEdge } from '../../../src/audit/tree.ts';

/** Entry number i of the test logs: its decimal digits. */
export function entry(i: number): Uint8Array {
  return new TextEncoder().encode(String(i));
}

/** A log in memory that keeps the newest content of each tile, as a store would, and serves its prefixes. */
export class MemoryLog implements TileReader {
  edge: TreeEdge = EMPTY_EDGE;
  root: Uint8Array = new Uint8Array();
  /** Roots by size, as far as {@link append} was called for that size. */
  readonly roots = new Map<bigint, Uint8Array>();
  readonly tiles = new Map<string, Uint8Array>();

  append(entries: readonly Uint8Array[]): void {
    const { edge, root, tiles } = appendLeaves(
      this.edge,
      entries.map((bytes) => leafHash(bytes)),
    );
    for (const tile of tiles) this.tiles.set(tilePath({ ...tile, width: 256 }), tile.bytes);
    this.edge = edge;
    this.root = root;
    this.roots.set(edge.size, root);
  }

  readTiles: TileReader['readTiles'] = (ids) =>
    Promise.resolve(
      ids.map((id) => {
        const bytes = this.tiles.get(tilePath({ ...id, width: 256 }));
        if (bytes === undefined || bytes.length < id.width * 32) throw new Error(`no ${tilePath(id)}`);
        return bytes.slice(0, id.width * 32);
      }),
    );
}

/** A log with the entries 0 … size − 1, appended `step` at a time. */
export function logOf(size: number, step = size): MemoryLog {
  const log = new MemoryLog();
  for (let at = 0; at < size; at += step) {
    log.append(Array.from({ length: Math.min(step, size - at) }, (_, i) => entry(at + i)));
  }
  return log;
}
