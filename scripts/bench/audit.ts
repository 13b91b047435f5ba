/**
 * The audit log in a real store (SQLite, every commit synced to disk): appending, proofs at the size reached, and reading
 * the whole log as `audit verify` does, from an export of it. Against what it costs at the least: the bare hashing of the
 * same leaves, and one synced write of the file system for each commit.
 */
import { createHash, generateKeyPairSync, hash } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  leafBody,
  leafHash,
  noteSigner,
  parseCheckpoint,
  proveConsistency,
  proveInclusion,
  readLog,
  verifyInclusion,
} from '../../src/audit/index.ts';
import type { Change, LogSource } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { directoryLog, recordedLog, writeCheckpoint } from '../../src/cli/directory-log.ts';
import { openSqlite, openStore } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';

const { values } = parseArgs({
  options: {
    leaves: { type: 'string', default: '100000' },
    batch: { type: 'string', default: '256' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/audit [--leaves N] [--batch N] [--json]\n');
  process.exit(0);
}
const LEAVES = Number(values.leaves);
const BATCH = Number(values.batch);
const PROOFS = 2000;
const HOST = 'ab'.repeat(32);

/** A leaf about as large as that of a decision (1.5 kB). */
function change(i: number): Change {
  const sha256 = `sha256:${hash('sha256', String(i))}`;
  const leaf = leafBody({
    ...{ v: 1, kind: 'decision', purpose: 'attestation', outcome: 'allow', replica: 'verifier-1' },
    ...{ hostId: HOST, executions: [], parent: null },
    digests: {
      ...{ request: sha256, authorization: null, sealed: null, inputs: null },
      evidence: ['quote', 'pcrs', 'uefi-log', 'ima-log', 'attestation-result'].map((name) => ({
        name,
        sha256,
      })),
    },
    policy: { digest: sha256, version: 1, deciding: ['run'] },
    ...{ ak: `000b${HOST}`, boot: { resetCount: 1, restartCount: 0 } },
    ...{ artifact: null, argv: null, environment: null, initiator: null, released: [] },
    dependencies: [
      { kind: 'ek-root', id: HOST },
      { kind: 'bundle', id: sha256 },
    ],
  });
  return { leaf, preconditions: [], once: [], writes: [], bodies: [] };
}

const seconds = (begin: number): number => (performance.now() - begin) / 1000;

async function append(store: StoreOperations): Promise<number> {
  const begin = performance.now();
  for (let at = 0; at < LEAVES; at += BATCH) {
    await store.commit(Array.from({ length: Math.min(BATCH, LEAVES - at) }, (_, i) => change(at + i)));
    if (at % (BATCH * 400) === 0 && at > 0)
      process.stderr.write(`${String(at)} of ${String(LEAVES)} leaves\n`);
  }
  return LEAVES / seconds(begin);
}

/** Inclusion and consistency proofs a second, at random places, made from the store's tiles; one in ten is verified. */
async function prove(
  store: StoreOperations,
  root: Uint8Array,
): Promise<{ inclusion: number; consistency: number }> {
  const places = Array.from({ length: PROOFS }, (_, i) => BigInt((i * 7919 + 13) % LEAVES));
  const size = BigInt(LEAVES);
  const begin = performance.now();
  for (const index of places) await proveInclusion(index, size, store.tiles);
  const inclusion = PROOFS / seconds(begin);
  for (const index of places.filter((_, i) => i % 10 === 0)) {
    const [leaf = new Uint8Array()] = await store.leaves(Number(index), 1);
    const proof = await proveInclusion(index, size, store.tiles);
    verifyInclusion({ index, size, root, leafHash: leafHash(leaf), proof });
  }
  const again = performance.now();
  for (const index of places) await proveConsistency(index + 1n, size, store.tiles);
  return { inclusion, consistency: PROOFS / seconds(again) };
}

/** Synced writes a second of the same file system: no log with one commit each is faster. */
function syncs(directory: string): number {
  const descriptor = openSync(path.join(directory, 'sync'), 'w');
  const begin = performance.now();
  for (let i = 0; i < 200; i++) {
    writeSync(descriptor, 'x'.repeat(4096));
    fsyncSync(descriptor);
  }
  closeSync(descriptor);
  return 200 / seconds(begin);
}

/** Bare SHA-256 of leaves of this size a second, two hashes an entry. */
function bare(bytes: number): number {
  const data = utf8('x'.repeat(bytes));
  const node = new Uint8Array(65);
  const begin = performance.now();
  for (let i = 0; i < 100_000; i++) {
    createHash('sha256').update(data).digest();
    createHash('sha256').update(node).digest();
  }
  return 100_000 / seconds(begin);
}

async function main(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-'));
  try {
    const signer = noteSigner('bench.test/log', 'note', generateKeyPairSync('ed25519').privateKey);
    const keys = { signer, macKey: new Uint8Array(32) };
    const clock = { now: () => 1_700_000_000_000 };
    const store = await openStore(openSqlite(path.join(directory, 'store.db')), keys, clock, 'epoch');
    const appended = await append(store);
    const checkpoint = parseCheckpoint(utf8((await store.head())?.checkpoint ?? ''));
    const proofs = await prove(store, checkpoint.claimed.root);
    const source: LogSource = {
      checkpoint: () => Promise.resolve(checkpoint),
      tiles: store.tiles,
      bundle: ({ index, width }) => store.entryBundle(Number(index), width),
    };
    const [entry = new Uint8Array()] = await store.leaves(0, 1);
    const exported = path.join(directory, 'export');
    let begin = performance.now();
    await readLog(recordedLog(source, exported), checkpoint.claimed, { compareTiles: true });
    writeCheckpoint(exported, checkpoint);
    const exporting = LEAVES / seconds(begin);
    begin = performance.now();
    const before = process.memoryUsage().rss;
    await readLog(directoryLog(exported), checkpoint.claimed, { compareTiles: true });
    const verified = LEAVES / seconds(begin);
    begin = performance.now();
    await readLog(directoryLog(exported), checkpoint.claimed, { what: 'tiles' });
    const tiles = LEAVES / seconds(begin);
    await store.close();
    const result = {
      leaves: LEAVES,
      batch: BATCH,
      bytesOfALeaf: entry.length,
      appendedPerSecond: Math.round(appended),
      inclusionProofsPerSecond: Math.round(proofs.inclusion),
      consistencyProofsPerSecond: Math.round(proofs.consistency),
      exportedPerSecond: Math.round(exporting),
      verifiedPerSecond: Math.round(verified),
      tilesVerifiedPerSecond: Math.round(tiles),
      bareHashedPerSecond: Math.round(bare(entry.length)),
      syncsPerSecond: Math.round(syncs(directory)),
      memoryGrewMiB: Math.round((process.memoryUsage().rss - before) / 2 ** 20),
    };
    if (values.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
    else
      for (const [name, value] of Object.entries(result))
        process.stdout.write(`${name.padEnd(28)}${String(value)}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
