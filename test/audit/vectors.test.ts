import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ROOT, leafHash, nodeHash } from '../../src/audit/hash.ts';
import { hashRanges, proveInclusion, treeRoot } from '../../src/audit/prove.ts';
import { consistencyRanges, inclusionRanges, isSubtree } from '../../src/audit/shape.ts';
import type { Range } from '../../src/audit/shape.ts';
import {
  verifyConsistency,
  verifyInclusion,
  verifySubtreeConsistency,
  verifySubtreeInclusion,
} from '../../src/audit/verify.ts';
import { Refusal, fromHex, toHex, utf8 } from '../../src/base/index.ts';

import { MemoryLog } from './support/log.ts';

const DATA = path.resolve(import.meta.dirname, '../data/merkle');

/** A vector file; its integers go up to 2^64 − 1, which JSON.parse would round, so they are read as strings. */
interface Vector {
  readonly file: string;
  readonly wantErr: boolean;
  readonly number: (name: string) => bigint;
  readonly hash: (name: string) => Uint8Array;
  readonly proof: readonly Uint8Array[];
}

function vectors(folder: string): Vector[] {
  const files = readdirSync(path.join(DATA, folder), { recursive: true, encoding: 'utf8' });
  return files
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const text = readFileSync(path.join(DATA, folder, file), 'utf8');
      const json = JSON.parse(text.replace(/: (\d+)(,?\n)/g, ': "$1"$2')) as Record<string, unknown>;
      return {
        file,
        wantErr: json['wantErr'] === true,
        number: (name) => BigInt(json[name] as string),
        hash: (name) => new Uint8Array(Buffer.from((json[name] ?? '') as string, 'base64')),
        proof: ((json['proof'] ?? []) as string[]).map((hash) => new Uint8Array(Buffer.from(hash, 'base64'))),
      };
    });
}

/** Runs a verifier over every vector of a folder; its verdict must be the vector's. */
function check(folder: string, count: { good: number; bad: number }, verify: (vector: Vector) => void): void {
  const seen = { good: 0, bad: 0 };
  for (const vector of vectors(folder)) {
    let refused = false;
    try {
      verify(vector);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refused = true;
    }
    expect(refused, `${folder}/${vector.file}`).toBe(vector.wantErr);
    seen[vector.wantErr ? 'bad' : 'good']++;
  }
  expect(seen).toEqual(count);
}

describe('vectors of transparency-dev/merkle', () => {
  it('inclusion', () => {
    check('inclusion', { good: 6, bad: 92 }, ({ number, hash, proof }) => {
      verifyInclusion({
        index: number('leafIdx'),
        size: number('treeSize'),
        root: hash('root'),
        leafHash: hash('leafHash'),
        proof,
      });
    });
  });

  it('consistency', () => {
    check('consistency', { good: 6, bad: 92 }, ({ number, hash, proof }) => {
      verifyConsistency({
        oldSize: number('size1'),
        oldRoot: hash('root1'),
        size: number('size2'),
        root: hash('root2'),
        proof,
      });
    });
  });

  const subtree = ({ number }: Vector): Range => ({ start: number('start'), end: number('end') });

  it('subtree inclusion', () => {
    check('subtreeinclusion', { good: 12, bad: 192 }, (vector) => {
      const { number, hash, proof } = vector;
      verifySubtreeInclusion({
        index: number('leafIdx'),
        subtree: subtree(vector),
        root: hash('root'),
        leafHash: hash('leafHash'),
        proof,
      });
    });
  });

  it('subtree consistency', () => {
    check('subtreeconsistency', { good: 12, bad: 106 }, (vector) => {
      const { number, hash, proof } = vector;
      verifySubtreeConsistency({
        subtree: subtree(vector),
        subtreeRoot: hash('root1'),
        size: number('size'),
        root: hash('root2'),
        proof,
      });
    });
  });
});

describe('the tree of the RFC 6962 tests', () => {
  const vector = JSON.parse(readFileSync(path.join(DATA, 'rfc6962-tree.json'), 'utf8')) as {
    hasher: Record<string, string>;
    leaf_inputs_hex: string[];
    node_hashes_by_level: string[][];
    root_hashes_by_size_0_to_8: string[];
    mtc_subtree_accumulated: Record<string, string>;
  };
  const leaves = vector.leaf_inputs_hex.map((hex) => fromHex(hex));

  it('has these hashes', () => {
    expect(toHex(EMPTY_ROOT)).toBe(vector.hasher['empty_root']);
    expect(toHex(leafHash(new Uint8Array()))).toBe(vector.hasher['empty_leaf']);
    expect(toHex(leafHash(utf8('L123456')))).toBe(vector.hasher['leaf_utf8_L123456']);
    expect(toHex(nodeHash(utf8('N123'), utf8('N456')))).toBe(vector.hasher['node_utf8_N123_N456']);
  });

  it('has these nodes and roots', async () => {
    const log = new MemoryLog();
    expect(toHex(await treeRoot(0n, log))).toBe(vector.root_hashes_by_size_0_to_8[0]);
    for (const [i, leaf] of leaves.entries()) {
      log.append([leaf]);
      expect(toHex(log.root)).toBe(vector.root_hashes_by_size_0_to_8[i + 1]);
      expect(toHex(await treeRoot(BigInt(i + 1), log))).toBe(vector.root_hashes_by_size_0_to_8[i + 1]);
    }
    for (const [level, hashes] of vector.node_hashes_by_level.entries()) {
      const ranges = hashes.map((_, i) => ({ start: BigInt(i << level), end: BigInt((i + 1) << level) }));
      expect((await hashRanges(ranges, 8n, log)).map((hash) => toHex(hash))).toEqual(hashes);
    }
  });

  // draft-ietf-plants-merkle-tree-certs, "Subtree Test Vectors": one line for each valid input, all into one hash.
  describe('accumulated over every subtree of trees up to 130 entries', () => {
    const MAX = 130n;
    const log = new MemoryLog();
    log.append(Array.from({ length: Number(MAX) }, (_, i) => Uint8Array.of(i)));
    /** Each range's hash is computed once: the lines name a few thousand ranges some million times. */
    const known = new Map<string, string>();
    const name = ({ start, end }: Range): string => `[${start}, ${end})`;
    const line = (prefix: string, ranges: readonly Range[]): string =>
      `${[prefix, ...ranges.map((range) => known.get(name(range)))].join(' ')}\n`;
    const subtreesTo = (end: bigint): Range[] =>
      Array.from({ length: Number(end) + 1 }, (_, start) => ({ start: BigInt(start), end })).filter(
        isSubtree,
      );

    beforeAll(async () => {
      for (let end = 0n; end <= MAX; end++) {
        const ranges = subtreesTo(end);
        const hashes = await hashRanges(ranges, MAX, log);
        ranges.forEach((range, i) => known.set(name(range), toHex(hashes[i]!)));
      }
    });

    it('subtree hashes', () => {
      const all = createHash('sha256');
      for (let end = 0n; end <= MAX; end++) {
        for (const range of subtreesTo(end)) all.update(line(name(range), [range]));
      }
      expect(all.digest('hex')).toBe(vector.mtc_subtree_accumulated['subtree_hash']);
    });

    it('inclusion proofs', () => {
      const all = createHash('sha256');
      for (let end = 1n; end <= MAX; end++) {
        for (const range of subtreesTo(end)) {
          for (let index = range.start; index < end; index++) {
            all.update(line(`${index} ${name(range)}`, inclusionRanges(index, range)));
          }
        }
      }
      expect(all.digest('hex')).toBe(vector.mtc_subtree_accumulated['subtree_inclusion_proof']);
    });

    it('consistency proofs', () => {
      const all = createHash('sha256');
      for (let size = 0n; size <= MAX; size++) {
        for (let end = 0n; end <= size; end++) {
          for (const range of subtreesTo(end)) {
            const ranges = range.start === end ? [] : consistencyRanges(range, size);
            all.update(line(`${name(range)} ${size}`, ranges));
          }
        }
      }
      expect(all.digest('hex')).toBe(vector.mtc_subtree_accumulated['subtree_consistency_proof']);
    });
  });

  it('has no proof for an entry that is not there', async () => {
    await expect(proveInclusion(8n, 8n, new MemoryLog())).rejects.toThrow(RangeError);
    await expect(proveInclusion(-1n, 8n, new MemoryLog())).rejects.toThrow(RangeError);
  });
});
