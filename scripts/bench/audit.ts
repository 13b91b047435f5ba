/**
 * The audit log in a real store (SQLite, every commit synced to disk) that grows from size to size: appending the last
 * tenth of each, proofs at the size reached, and at the end reading the whole log as `audit verify` does, from an export
 * of it. Rates are of processor time, so that a busy machine distorts them less; beside them stand those of the clock.
 * Against what it costs at the least: the bare hashing of the same leaves, and synced writes of the file system.
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
    leaves: { type: 'string', default: '10000,100000' },
    batch: { type: 'string', default: '256' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/audit [--leaves N,N,…] [--batch N] [--json]\n');
  process.exit(0);
}
const SIZES = values.leaves.split(',').map(Number);
const BATCH = Number(values.batch);
const PROOFS = 2000;
const HOST = 'ab'.repeat(32);

const sha256 = (text: string): string => `sha256:${hash('sha256', text)}`;

/** A leaf about as large as that of a decision (1.5 kB). */
const LEAF = leafBody({
  ...{ v: 1, kind: 'decision', purpose: 'attestation', outcome: 'allow', replica: 'verifier-1' },
  ...{ hostId: HOST, executions: [], parent: null },
  digests: {
    ...{ request: sha256('request'), authorization: null, sealed: null, inputs: null },
    evidence: ['quote', 'pcrs', 'uefi-log', 'ima-log', 'attestation-result'].map((name) => ({
      ...{ name, sha256: sha256(name) },
    })),
  },
  policy: { digest: sha256('policy'), version: 1, deciding: ['run'] },
  ...{ ak: `000b${HOST}`, boot: { resetCount: 1, restartCount: 0 } },
  ...{ artifact: null, argv: null, environment: null, initiator: null, released: [] },
  dependencies: [
    { kind: 'ek-root', id: HOST },
    { kind: 'bundle', id: sha256('policy') },
  ],
});

/** The same with another salted digest each. */
const change = (i: number): Change => ({
  leaf: { ...LEAF, argv: sha256(String(i)) },
  ...{ preconditions: [], once: [], writes: [], bodies: [] },
});

/** What was done, in seconds of the clock and of this process's processor time. */
interface Time {
  readonly clock: number;
  readonly processor: number;
}

async function timed(work: () => Promise<unknown>): Promise<Time> {
  const [begin, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { clock: (performance.now() - begin) / 1000, processor: (user + system) / 1e6 };
}

interface Rate {
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

const rate = (count: number, { clock, processor }: Time): Rate => ({
  perSecond: Math.round(count / clock),
  perCpuSecond: Math.round(count / processor),
});

/** Appends up to a size. @returns the rate of the last tenth; the leaves were made before the clock began */
async function append(store: StoreOperations, from: number, to: number): Promise<Rate> {
  const last = Math.max(from, to - Math.floor(to / 10));
  let [clock, processor, counted] = [0, 0, 0];
  for (let at = from; at < to; at += BATCH) {
    const changes = Array.from({ length: Math.min(BATCH, to - at) }, (_, i) => change(at + i));
    const time = await timed(() => store.commit(changes));
    if (at % (BATCH * 400) === 0 && at > 0) process.stderr.write(`${String(at)} of ${String(to)} leaves\n`);
    if (at + changes.length <= last) continue;
    [clock, processor] = [clock + time.clock, processor + time.processor];
    counted += changes.length;
  }
  return rate(counted, { clock, processor });
}

interface Proofs {
  readonly inclusion: Rate;
  readonly consistency: Rate;
}

/** Inclusion and consistency proofs at random places, made from the store's tiles; one in ten is verified. */
async function prove(store: StoreOperations, leaves: number): Promise<Proofs> {
  const places = Array.from({ length: PROOFS }, (_, i) => BigInt((i * 7919 + 13) % leaves));
  const size = BigInt(leaves);
  const root = parseCheckpoint(utf8((await store.head())?.checkpoint ?? '')).claimed.root;
  const inclusion = await timed(async () => {
    for (const index of places) await proveInclusion(index, size, store.tiles);
  });
  for (const index of places.filter((_, i) => i % 10 === 0)) {
    const [leaf = new Uint8Array()] = await store.leaves(Number(index), 1);
    const proof = await proveInclusion(index, size, store.tiles);
    verifyInclusion({ index, size, root, leafHash: leafHash(leaf), proof });
  }
  const consistency = await timed(async () => {
    for (const index of places) await proveConsistency(index + 1n, size, store.tiles);
  });
  return { inclusion: rate(PROOFS, inclusion), consistency: rate(PROOFS, consistency) };
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
  return Math.round(200 / ((performance.now() - begin) / 1000));
}

/** Bare SHA-256 of leaves of this size, two hashes an entry. */
async function bare(bytes: number): Promise<Rate> {
  const data = utf8('x'.repeat(bytes));
  const node = new Uint8Array(65);
  // eslint-disable-next-line @typescript-eslint/require-await -- timed as everything else is
  const time = await timed(async () => {
    for (let i = 0; i < 100_000; i++) {
      createHash('sha256').update(data).digest();
      createHash('sha256').update(node).digest();
    }
  });
  return rate(100_000, time);
}

/** The log read from the store into an export, then from there as entries and as tiles. */
async function read(
  store: StoreOperations,
  leaves: number,
  exported: string,
): Promise<Readonly<Record<string, Rate>>> {
  const checkpoint = parseCheckpoint(utf8((await store.head())?.checkpoint ?? ''));
  const source: LogSource = {
    checkpoint: () => Promise.resolve(checkpoint),
    tiles: store.tiles,
    bundle: ({ index, width }) => store.entryBundle(Number(index), width),
  };
  const exporting = await timed(async () => {
    await readLog(recordedLog(source, exported), checkpoint.claimed, { compareTiles: true });
    writeCheckpoint(exported, checkpoint);
  });
  const entries = await timed(() =>
    readLog(directoryLog(exported), checkpoint.claimed, { compareTiles: true }),
  );
  const tiles = await timed(() => readLog(directoryLog(exported), checkpoint.claimed, { what: 'tiles' }));
  return {
    ...{ export: rate(leaves, exporting), 'verify entries': rate(leaves, entries) },
    'verify tiles': rate(leaves, tiles),
  };
}

async function main(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-'));
  try {
    const signer = noteSigner('bench.test/log', 'note', generateKeyPairSync('ed25519').privateKey);
    const keys = { signer, macKey: new Uint8Array(32) };
    const clock = { now: () => 1_700_000_000_000 };
    const store = await openStore(openSqlite(path.join(directory, 'store.db')), keys, clock, 'epoch');
    const rates: Record<string, Rate> = {};
    let done = 0;
    for (const size of SIZES) {
      rates[`append, up to ${String(size)}`] = await append(store, done, size);
      done = size;
      const { inclusion, consistency } = await prove(store, size);
      rates[`inclusion proofs at ${String(size)}`] = inclusion;
      rates[`consistency proofs at ${String(size)}`] = consistency;
    }
    const [entry = new Uint8Array()] = await store.leaves(0, 1);
    const before = process.memoryUsage().rss;
    Object.assign(rates, await read(store, done, path.join(directory, 'export')));
    const memoryGrewMiB = Math.round((process.memoryUsage().rss - before) / 2 ** 20);
    await store.close();
    rates['bare hashing of a leaf and a node'] = await bare(entry.length);
    print(rates, {
      batch: BATCH,
      bytesOfALeaf: entry.length,
      syncsPerSecond: syncs(directory),
      memoryGrewMiB,
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function print(rates: Readonly<Record<string, Rate>>, facts: Readonly<Record<string, number>>): void {
  if (values.json === true) {
    process.stdout.write(`${JSON.stringify({ bench: 'audit', rates, ...facts })}\n`);
    return;
  }
  process.stdout.write(`${''.padEnd(38)}${'per CPU-second'.padStart(16)}${'per second'.padStart(12)}\n`);
  for (const [name, { perSecond, perCpuSecond }] of Object.entries(rates))
    process.stdout.write(
      `${name.padEnd(38)}${String(perCpuSecond).padStart(16)}${String(perSecond).padStart(12)}\n`,
    );
  for (const [name, value] of Object.entries(facts))
    process.stdout.write(`${name.padEnd(38)}${String(value)}\n`);
}

await main();
