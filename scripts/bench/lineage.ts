/**
 * Lineage queries in a store that grows from 1 000 to 100 000 executions: made-up decisions of the usual shape and size,
 * committed through the real store to a file, signed and synced. Times are processor time, so that a busy machine doesn't
 * distort them. What counts is the ratio of one query's time at the
 * largest size to that at the smallest (a flat one is 1), and what part of a commit's processor time the index takes.
 * Every answer is verified entry by entry at the end: a benchmark of wrong answers is worth nothing.
 */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { leafBody, noteSigner, proveInclusion, treeRoot } from '../../src/audit/index.ts';
import type { Change, DecisionLeaf } from '../../src/audit/index.ts';
import { verifyPage } from '../../src/lineage/index.ts';
import type { LineageQuestion } from '../../src/lineage/index.ts';
import { openSqlite, openStore, rebuildLineage } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1000,10000,100000' },
    rounds: { type: 'string', default: '200' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/lineage [--sizes N,N,…] [--rounds N] [--json]\n');
  process.exit(0);
}
const SIZES = values.sizes.split(',').map(Number);
const ROUNDS = Number(values.rounds);
/** Executions of one family: a root, and three levels below it. */
const FAMILY = 10;
const BATCH = 250;

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const sha = (text: string): string => `sha256:${hex(text)}`;
const idOf = (n: number): string => `019a9e2c-7b1e-7c3d-8f20-${n.toString(16).padStart(12, '0')}`;
const hostOf = (n: number): string => hex(`host ${String(n % 1000)}`);
/** Within its family an execution's parent is the one with half its number; the first is an origin. */
const parentOf = (n: number): number | null =>
  n % FAMILY === 0 ? null : n - (n % FAMILY) + Math.floor((n % FAMILY) / 2);

function decision(n: number): DecisionLeaf {
  const parent = parentOf(n);
  const policy = sha(`policy ${String(Math.floor(n / 5000))}`);
  const ak = `000b${hex(`ak ${hostOf(n)}`)}`;
  const evidence = ['quote', 'pcrs', 'uefi-log', 'ima-log', 'attestation-result'];
  return {
    ...{ v: 1, kind: 'decision', purpose: 'execution', outcome: 'allow', replica: 'a', hostId: hostOf(n) },
    ...{ executions: [idOf(n)], parent: parent === null ? null : idOf(parent) },
    digests: {
      request: sha(`request ${String(n)}`),
      authorization: sha(`authorization ${String(n)}`),
      sealed: sha(`sealed ${String(n)}`),
      evidence: evidence.map((name) => ({ name, sha256: sha(`${name} ${String(n)}`) })),
      inputs: sha(`inputs ${String(n)}`),
    },
    policy: { digest: policy, version: 1 + Math.floor(n / 5000), deciding: ['run'] },
    ...{ ak, boot: { resetCount: 7, restartCount: 0 } },
    artifact: { name: `report-${String(n % 50)}`, digest: sha(`artifact ${String(n % 50)}`) },
    ...{ argv: sha(`argv ${String(n)}`), environment: sha('environment') },
    initiator: {
      ...{ issuer: 'https://people.example.org', subject: `user-${String(n % 200)}` },
      ...{ token: sha(`token ${String(n)}`), claims: { team: 'a' } },
    },
    released: [
      { kind: 'x509-svid', name: 'workload', serial: String(n), expires: '2026-11-23T00:00:00.000Z' },
      { kind: 'secret', name: 'database', serial: '1', expires: null },
    ],
    dependencies: [
      { kind: 'ek-root', id: hex('root') },
      { kind: 'ak', id: ak },
      { kind: 'bundle', id: policy },
      { kind: 'reference-values', id: `${policy}/vm` },
      { kind: 'authority', id: 'authority-1' },
      { kind: 'authority', id: 'authority-2' },
      { kind: 'signer', id: `signer-${String(n % 20)}` },
      { kind: 'issuer', id: 'https://people.example.org' },
      { kind: 'build', id: 'sealgate 0.1.0' },
    ],
  };
}

const change = (n: number): Change => ({
  leaf: leafBody(decision(n)),
  ...{ preconditions: [], once: [], writes: [], bodies: [] },
});

/** Commits executions up to a number. @returns milliseconds of processor time each */
async function grow(store: StoreOperations, from: number, to: number): Promise<number> {
  const before = process.cpuUsage();
  for (let n = from; n < to; n += BATCH) {
    const count = Math.min(BATCH, to - n);
    await store.commit(Array.from({ length: count }, (_, i) => change(n + i)));
    if ((n / BATCH) % 40 === 0) process.stderr.write(`${String(n)} executions\n`);
  }
  return milliseconds(process.cpuUsage(before)) / (to - from);
}

type Ask = (n: number, size: number) => LineageQuestion;
const list = (kind: string, id: string, size: number, after: number | null): LineageQuestion => ({
  ...{ ask: 'list', kinds: [kind], id, size, after, limit: 20 },
});
/** Each asks about another execution, evenly from all. */
const QUESTIONS: Readonly<Record<string, Ask>> = {
  'ancestors, 4 hops': (n, size) => ({
    ask: 'ancestors',
    executionId: idOf(n - (n % FAMILY) + FAMILY - 1),
    size,
  }),
  'descendants, 10': (n, size) => ({
    ...{ ask: 'descendants', executionId: idOf(n - (n % FAMILY)), size, after: null, limit: 20 },
  }),
  'by host, a page': (n, size) => list('host', hostOf(n), size, null),
  'by signer, a page in the middle': (n, size) =>
    list('signer', `signer-${String(n % 20)}`, size, Math.floor(n / 2)),
  'by authority, a page in the middle': (n, size) =>
    list('authority', 'authority-1', size, Math.floor(n / 2)),
  'by evidence, one': (n, size) => list('evidence', sha(`quote ${String(n)}`), size, null),
  'depends on an artifact, of any kind': (n, size) => ({
    ...{ ask: 'list', kinds: [], id: sha(`artifact ${String(n % 50)}`), size, after: null, limit: 20 },
  }),
};

const milliseconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1000;

/** Median processor time of a question, in milliseconds, over executions that are spread evenly; after a warm-up. */
async function time(store: StoreOperations, ask: Ask, size: number): Promise<number> {
  const times: number[] = [];
  for (let turn = -ROUNDS; turn < ROUNDS; turn++) {
    const round = turn < 0 ? turn + ROUNDS : turn;
    if (turn === 0) times.length = 0;
    const n = Math.floor(((round + 0.5) * size) / ROUNDS);
    const question = ask(n, size);
    const begin = process.cpuUsage();
    const page = await store.lineage(question);
    times.push(milliseconds(process.cpuUsage(begin)));
    if (page.found.length === 0) throw new Error('nothing was found');
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)] ?? 0;
}

/** A few answers, with proofs, as an auditor checks them. */
async function check(store: StoreOperations, ask: Ask, size: number): Promise<void> {
  const root = await treeRoot(BigInt(size), store.tiles);
  for (const n of [0, Math.floor(size / 2), size - 1]) {
    const question = ask(n, size);
    const page = await store.lineage(question);
    const entries = [];
    for (const { position, data } of page.entries) {
      const proof = await proveInclusion(BigInt(position), BigInt(size), store.tiles);
      entries.push({ index: BigInt(position), data, proof });
    }
    const found = page.found.map((one) => ({
      decision: BigInt(one.decision),
      because: BigInt(one.because),
    }));
    verifyPage(question, { found, entries }, { size: BigInt(size), root });
  }
}

interface Case {
  readonly executions: number;
  readonly commitMs: number;
  readonly medians: Readonly<Record<string, number>>;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-lineage-'));
  const file = path.join(folder, 'store.db');
  try {
    const { privateKey } = generateKeyPairSync('ed25519');
    const signer = noteSigner('log.example.org', 'note', privateKey);
    const keys = { signer, macKey: new Uint8Array(32).fill(9) };
    const store = await openStore(openSqlite(file), keys, { now: () => Date.now() }, 'bench');
    const cases: Case[] = [];
    let done = 0;
    for (const size of SIZES) {
      const commitMs = await grow(store, done, size);
      done = size;
      const medians: Record<string, number> = {};
      for (const [name, ask] of Object.entries(QUESTIONS)) {
        await check(store, ask, size);
        medians[name] = await time(store, ask, size);
      }
      cases.push({ executions: size, commitMs, medians });
    }
    await store.close();
    print(cases, { ...(await rebuilt(file)), bytes: statSync(file).size });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The index made again: seconds, and its part of the file. */
async function rebuilt(
  file: string,
): Promise<{ readonly seconds: number; readonly indexBytes: number; readonly rows: number }> {
  const db = openSqlite(file);
  const begin = process.cpuUsage();
  const { rows, added, removed } = await rebuildLineage(db);
  if (added > 0 || removed > 0) throw new Error('the index was not that of the log');
  const seconds = milliseconds(process.cpuUsage(begin)) / 1000;
  const { rows: sizes } = await sql<{
    bytes: number;
  }>`SELECT sum(pgsize) AS bytes FROM dbstat WHERE name = 'lineage'`
    .execute(db)
    .catch(() => ({ rows: [] }));
  await db.destroy();
  return { seconds, indexBytes: sizes[0]?.bytes ?? 0, rows };
}

function print(
  cases: readonly Case[],
  index: Awaited<ReturnType<typeof rebuilt>> & { readonly bytes: number },
): void {
  const [first, last] = [cases[0], cases.at(-1)];
  if (first === undefined || last === undefined) return;
  const ratios = Object.fromEntries(
    Object.entries(last.medians).map(([name, ms]) => [name, ms / (first.medians[name] ?? ms)]),
  );
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ bench: 'lineage', cases, ratios, index }, null, 2)}\n`);
    return;
  }
  const head = cases.map(({ executions }) => `${String(executions)} ms`.padStart(12)).join('');
  process.stdout.write(`${'query'.padEnd(38)}${head}${'ratio'.padStart(8)}\n`);
  for (const [name, ratio] of Object.entries(ratios)) {
    const cells = cases.map(({ medians }) => (medians[name] ?? 0).toFixed(2).padStart(12)).join('');
    process.stdout.write(`${name.padEnd(38)}${cells}${ratio.toFixed(2).padStart(8)}\n`);
  }
  const commits = cases.map(({ commitMs }) => commitMs.toFixed(2).padStart(12)).join('');
  process.stdout.write(`${'a commit, processor time of each'.padEnd(38)}${commits}\n`);
  process.stdout.write(
    `${String(index.rows)} rows, ${(index.rows / last.executions).toFixed(1)} an execution; rebuilt in ${index.seconds.toFixed(1)} s of processor time; ` +
      `the index has ${(index.indexBytes / 1e6).toFixed(0)} of ${(index.bytes / 1e6).toFixed(0)} MB\n`,
  );
}

await main();
