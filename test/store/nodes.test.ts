import { expect, it } from 'vitest';
import {
  EMPTY_EDGE,
  appendLeaves,
  leafHash,
  proveConsistency,
  proveInclusion,
  treeRoot,
} from '../../src/audit/index.ts';
import { Refusal, utf8 } from '../../src/base/index.ts';
import { migrate, openSqlite, tileStore } from '../../src/store/index.ts';
import { writeTiles } from '../../src/store/tile-store.ts';

it('proofs made of nodes are those made of whole tiles, while the log grows', async () => {
  const db = openSqlite(':memory:');
  await migrate(db);
  const byNodes = tileStore(db);
  const byTiles = { readTiles: tileStore(db).readTiles };
  let edge = EMPTY_EDGE;
  // Borders of blocks and tiles, and what lies between: what was read of a part that grew is not believed to be all of it.
  for (const size of [1, 5, 15, 16, 17, 40, 255, 256, 257, 300, 511, 530, 770]) {
    const count = size - Number(edge.size);
    const hashes = Array.from({ length: count }, (_, i) => leafHash(utf8(String(Number(edge.size) + i))));
    const grown = appendLeaves(edge, hashes);
    edge = grown.edge;
    await writeTiles(db, grown.tiles);
    const now = BigInt(size);
    expect(await treeRoot(now, byNodes)).toEqual(grown.root);
    for (let index = 0n; index < now; index += now > 100n ? 23n : 1n) {
      expect(await proveInclusion(index, now, byNodes)).toEqual(await proveInclusion(index, now, byTiles));
      const from = index + 1n;
      expect(await proveConsistency(from, now, byNodes)).toEqual(await proveConsistency(from, now, byTiles));
    }
  }
  // Beyond the log, low and high in its tiles.
  for (const node of [
    { height: 0, index: 770n },
    { height: 3, index: 96n },
    { height: 7, index: 6n },
    { height: 8, index: 3n },
  ])
    await expect(byNodes.readNodes?.([node])).rejects.toBeInstanceOf(Refusal);
  await db.destroy();
});
