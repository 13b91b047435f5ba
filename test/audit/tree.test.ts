import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EMPTY_ROOT, leafHash } from '../../src/audit/hash.ts';
import { KnownNodes, proveConsistency, proveInclusion, treeRoot } from '../../src/audit/prove.ts';
import { parseTilePath } from '../../src/audit/tiles.ts';
import type { TileId } from '../../src/audit/tiles.ts';
import { EMPTY_EDGE, appendLeaves, loadEdge, proveAppended } from '../../src/audit/tree.ts';
import { verifyConsistency, verifyInclusion } from '../../src/audit/verify.ts';
import { toHex } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { MemoryLog, entry, logOf } from './support/log.ts';
import { ReferenceTree } from './support/reference.ts';

const BORDERS = [255, 256, 257, 511, 512, 513, 65535, 65536, 65537];

const entries = (size: number): Uint8Array[] => Array.from({ length: size }, (_, i) => entry(i));
const reference = new ReferenceTree(entries(65_793));
const hex = (hashes: readonly Uint8Array[]): string[] => hashes.map((hash) => toHex(hash));

describe('a growing tree', () => {
  it('has the roots of RFC 6962, entry by entry', () => {
    const log = logOf(300, 1);
    for (let size = 1; size <= 300; size++) {
      expect(toHex(log.roots.get(BigInt(size))!), String(size)).toBe(reference.mth(0, size));
    }
  });

  it('is the same however it is cut into commits', () => {
    const tilesOf = (log: MemoryLog): string[] =>
      [...log.tiles].map(([name, bytes]) => `${name} ${toHex(bytes)}`).sort();
    const whole = logOf(1000);
    for (const step of [1, 7, 255, 256, 257, 999]) {
      const log = logOf(1000, step);
      expect(log.root).toEqual(whole.root);
      expect(hex(log.edge.frontier)).toEqual(hex(whole.edge.frontier));
      expect(tilesOf(log)).toEqual(tilesOf(whole));
    }
  });

  it('names each tile that changed once, as wide as it is', () => {
    const { edge, tiles } = appendLeaves(
      EMPTY_EDGE,
      entries(513).map((bytes) => leafHash(bytes)),
    );
    expect(tiles.map(({ level, index, width }) => [level, index, width])).toEqual([
      [0, 0n, 256],
      [0, 1n, 256],
      [0, 2n, 1],
      [1, 0n, 2],
    ]);
    expect(appendLeaves(edge, []).tiles).toEqual([]);
    expect(appendLeaves(edge, [leafHash(entry(513))]).tiles.map(({ width }) => width)).toEqual([2]);
  });

  it('can go on from its tiles alone', async () => {
    const sizes = [1, 2, 255, 256, 257, 600, 65_535, 65_536, 65_793];
    const log = new MemoryLog();
    expect(await loadEdge(0n, log)).toEqual(EMPTY_EDGE);
    for (const size of sizes) {
      log.append(entries(size).slice(Number(log.edge.size)));
      expect(toHex(log.root)).toBe(reference.mth(0, size));
      expect(toHex(await treeRoot(BigInt(size), log))).toBe(reference.mth(0, size));
      const loaded = await loadEdge(BigInt(size), log);
      expect(loaded.size).toBe(BigInt(size));
      expect(hex(loaded.frontier)).toEqual(hex(log.edge.frontier));
      const next = [leafHash(entry(size)), leafHash(entry(size + 1))];
      expect(appendLeaves(loaded, next).root).toEqual(appendLeaves(log.edge, next).root);
      expect(appendLeaves(loaded, next).tiles.map(({ bytes }) => toHex(bytes))).toEqual(
        appendLeaves(log.edge, next).tiles.map(({ bytes }) => toHex(bytes)),
      );
    }
  });

  it('refuses what is not a leaf hash, and more than 2^64 entries', () => {
    expect(() => appendLeaves(EMPTY_EDGE, [new Uint8Array(31)])).toThrow(RangeError);
    expect(() => appendLeaves({ ...EMPTY_EDGE, size: (1n << 64n) - 1n }, [new Uint8Array(32)])).toThrow(
      'full',
    );
  });

  it('works beyond 2^53 entries', () => {
    const before = 2n ** 60n - 1n;
    const frontier = Array.from({ length: 60 }, (_, i) => leafHash(entry(i)));
    const full = Array.from({ length: 255 }, (_, i) => leafHash(entry(i)));
    const partial = [...Array.from({ length: 7 }, () => full), full.slice(0, 15)];
    const { edge, tiles } = appendLeaves({ size: before, frontier, partial }, [leafHash(entry(0))]);
    expect(edge.size).toBe(2n ** 60n);
    expect(edge.frontier).toHaveLength(1);
    expect(tiles.map(({ level, index, width }) => [level, index, width])).toEqual([
      ...Array.from({ length: 7 }, (_, level) => [level, 2n ** BigInt(52 - 8 * level) - 1n, 256]),
      [7, 0n, 16],
    ]);
  });

  it('refuses a tile of another width', async () => {
    const log = logOf(300);
    const cut = {
      readTiles: async (ids: Parameters<typeof log.readTiles>[0]) =>
        (await log.readTiles(ids)).map((bytes) => bytes.slice(32)),
    };
    const refusal = await proveInclusion(3n, 300n, cut).catch((error: unknown) => error);
    expectRefusal('log-tile', () => {
      throw refusal;
    });
    const none = { readTiles: () => Promise.resolve([]) };
    expectRefusal('log-tile', await rethrow(loadEdge(300n, none)));
  });

  async function rethrow(promise: Promise<unknown>): Promise<() => never> {
    const error: unknown = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    return () => {
      throw error;
    };
  }
});

describe('inclusion proofs', () => {
  it('are those of RFC 6962 for every entry of every tree up to 64 entries', async () => {
    const log = logOf(64, 1);
    for (let size = 1; size <= 64; size++) {
      for (let index = 0; index < size; index++) {
        const made = await proveInclusion(BigInt(index), BigInt(size), log);
        expect(hex(made)).toEqual(reference.path(index, 0, size));
        verifyInclusion({
          index: BigInt(index),
          size: BigInt(size),
          root: log.roots.get(BigInt(size))!,
          leafHash: leafHash(entry(index)),
          proof: made,
        });
      }
    }
  });

  it('of entries that are just appended need no tile', async () => {
    for (const step of [1, 2, 3, 16, 37]) {
      const log = new MemoryLog();
      for (let at = 0; at < 150; at += step) {
        const added = Array.from({ length: step }, (_, i) => entry(at + i));
        const made = proveAppended(
          log.edge,
          added.map((bytes) => leafHash(bytes)),
        );
        log.append(added);
        for (let i = 0; i < step; i++) {
          expect(hex(made[i]!)).toEqual(hex(await proveInclusion(BigInt(at + i), log.edge.size, log)));
        }
      }
    }
  });

  it('verify at the borders of tiles', async () => {
    const log = logOf(65537);
    for (const size of BORDERS.map(BigInt)) {
      const root = await treeRoot(size, log);
      for (const index of [0n, 1n, 255n, 256n, size / 2n, size - 2n, size - 1n]) {
        if (index >= size) continue;
        const made = await proveInclusion(index, size, log);
        verifyInclusion({ index, size, root, leafHash: leafHash(entry(Number(index))), proof: made });
      }
    }
  });

  it('are refused with any change', async () => {
    const log = logOf(100, 1);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 100 }),
        fc.nat(),
        fc.nat(),
        fc.nat(),
        async (size, i, at, how) => {
          const index = i % size;
          const good = {
            index: BigInt(index),
            size: BigInt(size),
            root: log.roots.get(BigInt(size))!,
            leafHash: leafHash(entry(index)),
            proof: await proveInclusion(BigInt(index), BigInt(size), log),
          };
          verifyInclusion(good);
          for (const bad of mutationsOf(good, at, how)) {
            expectRefusal('log-inclusion', () => {
              verifyInclusion(bad);
            });
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  type Inclusion = Parameters<typeof verifyInclusion>[0];
  function* mutationsOf(good: Inclusion, at: number, how: number): Generator<Inclusion> {
    yield { ...good, root: flipped(good.root, how) };
    yield { ...good, leafHash: flipped(good.leafHash, how) };
    for (const proof of listMutations(good.proof, at, how)) yield { ...good, proof };
    yield { ...good, index: good.size };
    yield { ...good, index: good.index + good.size };
    yield { ...good, index: -1n - good.index };
    // Another index or size takes another path unless the tree looks the same from there.
    const index = (good.index + 1n) % good.size;
    if (index !== good.index) yield { ...good, index };
  }

  it('never prove an inner node as an entry', async () => {
    const log = logOf(4, 1);
    const [a, b] = await proveInclusion(0n, 4n, log);
    const inner = new Uint8Array([...leafHash(entry(0)), ...a!]);
    expectRefusal('log-inclusion', () => {
      verifyInclusion({ index: 0n, size: 2n, root: log.root, leafHash: leafHash(inner), proof: [b!] });
    });
  });
});

describe('consistency proofs', () => {
  it('are those of RFC 6962 for all pairs of sizes up to 64, and no others pass', async () => {
    const log = logOf(64, 1);
    for (let size = 1; size <= 64; size++) {
      for (let oldSize = 1; oldSize <= size; oldSize++) {
        const made = await proveConsistency(BigInt(oldSize), BigInt(size), log);
        expect(hex(made)).toEqual(reference.proof(oldSize, 0, size));
        const claim = {
          oldSize: BigInt(oldSize),
          oldRoot: log.roots.get(BigInt(oldSize))!,
          size: BigInt(size),
          root: log.roots.get(BigInt(size))!,
          proof: made,
        };
        verifyConsistency(claim);
        expectRefusal('log-consistency', () => {
          verifyConsistency({ ...claim, oldRoot: flipped(claim.oldRoot, size) });
        });
        expectRefusal('log-consistency', () => {
          verifyConsistency({ ...claim, root: flipped(claim.root, oldSize) });
        });
      }
    }
  });

  it('are the same with the nodes of earlier ones, whose tiles are not read again', async () => {
    const log = logOf(1000, 1);
    const read: string[] = [];
    const tiles = {
      readTiles: (ids: readonly TileId[]) => {
        read.push(...ids.map(({ level, index }) => `${String(level)}/${String(index)}`));
        return log.readTiles(ids);
      },
    };
    const known = new KnownNodes();
    for (let size = 1; size <= 1000; size += 7)
      for (const oldSize of [1, Math.ceil(size / 2), size])
        expect(hex(await proveConsistency(BigInt(oldSize), BigInt(size), tiles, known))).toEqual(
          reference.proof(oldSize, 0, size),
        );
    read.length = 0;
    await proveConsistency(512n, 1000n, tiles, known);
    expect(read).not.toContain('0/0');
    expect(read).not.toContain('0/1');
  });

  it('verify at the borders of tiles', async () => {
    const log = logOf(65537);
    const sizes = [1, 2, ...BORDERS].map(BigInt);
    for (const size of sizes) {
      const root = await treeRoot(size, log);
      for (const oldSize of sizes.filter((old) => old <= size)) {
        const oldRoot = await treeRoot(oldSize, log);
        const made = await proveConsistency(oldSize, size, log);
        verifyConsistency({ oldSize, oldRoot, size, root, proof: made });
      }
    }
  });

  it('are refused with any change', async () => {
    const log = logOf(100, 1);
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 100 }),
        fc.nat(),
        fc.nat(),
        fc.nat(),
        async (size, i, at, how) => {
          const oldSize = 1 + (i % (size - 1));
          const good = {
            oldSize: BigInt(oldSize),
            oldRoot: log.roots.get(BigInt(oldSize))!,
            size: BigInt(size),
            root: log.roots.get(BigInt(size))!,
            proof: await proveConsistency(BigInt(oldSize), BigInt(size), log),
          };
          verifyConsistency(good);
          const bad = [...listMutations(good.proof, at, how)].map((list) => ({ ...good, proof: list }));
          bad.push(
            { ...good, oldRoot: flipped(good.oldRoot, how) },
            { ...good, root: flipped(good.root, how) },
          );
          bad.push({ ...good, oldSize: good.oldSize + good.size }, { ...good, size: good.oldSize });
          bad.push({ ...good, oldRoot: good.root, root: good.oldRoot });
          for (const claim of bad) {
            expectRefusal('log-consistency', () => {
              verifyConsistency(claim);
            });
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('from nothing prove nothing', async () => {
    const log = logOf(8);
    await expect(proveConsistency(0n, 8n, log)).rejects.toThrow(RangeError);
    await expect(proveConsistency(9n, 8n, log)).rejects.toThrow(RangeError);
    for (const oldSize of [0n, -1n]) {
      expectRefusal('log-consistency', () => {
        verifyConsistency({ oldSize, oldRoot: EMPTY_ROOT, size: 8n, root: log.root, proof: [] });
      });
    }
  });

  it('show a log that changed its past', async () => {
    const honest = logOf(50, 1);
    const forked = logOf(20, 1);
    forked.append([entry(99)]);
    for (let i = 21; i < 50; i++) forked.append([entry(i)]);
    for (let oldSize = 1n; oldSize < 50n; oldSize++) {
      const claim = {
        oldSize,
        oldRoot: honest.roots.get(oldSize)!,
        size: 50n,
        root: forked.root,
        proof: await proveConsistency(oldSize, 50n, forked),
      };
      if (oldSize <= 20n) verifyConsistency(claim);
      else
        expectRefusal('log-consistency', () => {
          verifyConsistency(claim);
        });
    }
  });
});

it('tile paths have one spelling', () => {
  expect(parseTilePath('tile/0/x001/x234/067')).toEqual({ level: 0, index: 1234067n, width: 256 });
  expect(parseTilePath('tile/63/000.p/255')).toEqual({ level: 63, index: 0n, width: 255 });
  expect(parseTilePath('tile/entries/x001/000.p/1')).toEqual({ index: 1000n, width: 1 });
  for (const bad of [
    'tile/64/000',
    'tile/00/000',
    'tile/01/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/1000',
    'tile/0/x000/001',
    'tile/0/001/002',
    'tile/0/x001',
    'tile/0/000.p/0',
    'tile/0/000.p/256',
    'tile/0/000.p/01',
    'tile/0/000.p/',
    'tile/0/000/',
    '/tile/0/000',
    'tile/0/000\n',
    'tile/entries/',
    'tile/entry/000',
    'tile/0/x00a/000',
    'checkpoint',
    `tile/0/${'x999/'.repeat(7)}999`,
  ])
    expect(parseTilePath(bad), bad).toBeUndefined();
});

function flipped(bytes: Uint8Array, how: number): Uint8Array {
  const out = Uint8Array.from(bytes);
  out[how % out.length]! ^= 1 << (how % 8);
  return out;
}

function* listMutations(proof: readonly Uint8Array[], at: number, how: number): Generator<Uint8Array[]> {
  const i = at % proof.length;
  yield proof.with(i, flipped(proof[i]!, how));
  yield proof.toSpliced(i, 1);
  yield proof.toSpliced(i, 0, flipped(proof[i]!, how));
  yield [...proof, proof[i]!];
  yield proof.with(i, proof[i]!.slice(1));
  yield proof.with(i, new Uint8Array([...proof[i]!, 0]));
  if (proof.length > 1) yield proof.toReversed();
}
