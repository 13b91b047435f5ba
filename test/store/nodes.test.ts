import { expect, it } from 'vitest';
import {
  EMPTY_EDGE,
  appendLeaves,
  leafHash,
  proveConsistency,
  proveInclusion,
  treeRoot,
} from '../../src/audit/index.ts';
import type { TileReader } from '../../src/audit/index.ts';
import { Refusal, utf8 } from '../../src/base/index.ts';
import { migrate, openSqlite, tileStore } from '../../src/store/index.ts';
import { writeTiles } from '../../src/store/tile-store.ts';

it('proofs made of nodes are those made of whole tiles, while the log grows', async () => {
  const db = openSqlite(':memory:');
  await migrate(db);
  const byNodes = tileStore(db);
  const byTiles: TileReader = { readTiles: (tiles) => tileStore(db).readTiles(tiles) };
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

it('a node is not made of a part that was read before the log grew, by whoever asked at the same time', async () => {
  const db = openSqlite(':memory:');
  await migrate(db);
  const hashes = Array.from({ length: 8 }, (_, i) => leafHash(utf8(String(i))));
  const small = appendLeaves(EMPTY_EDGE, hashes.slice(0, 2));
  const whole = appendLeaves(small.edge, hashes.slice(2));
  await writeTiles(db, small.tiles);
  const tiles = tileStore(db);
  const [, , root] = await Promise.all([
    tiles.readNodes?.([{ height: 1, index: 0n }]),
    writeTiles(db, whole.tiles),
    tiles.readNodes?.([{ height: 3, index: 0n }]),
  ]);
  expect(root).toEqual(whole.root);
  await db.destroy();
});
