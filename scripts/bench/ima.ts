/**
 * IMA lists verified against a quote: replay of PCR 10 (sha256 bank), SHA-1 column, allow-list or signatures.
 * Every case runs in a process of its own, so that its peak memory is its own. The list is read from a file in chunks,
 * as it would come off the network. The limit is the rate at which this machine hashes 64 bytes from JavaScript, taken
 * in the same process right before and after: compare ratios, not absolute numbers, between machines.
 */
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, hash, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  NO_IMA_RULES,
  compileImaRules,
  createSignatureCache,
  verifyIma,
  verifyImaWith,
} from '../../src/evidence/index.ts';
import type { CompiledImaRules, ImaQuestion } from '../../src/evidence/index.ts';
import { ImaWorkers } from '../../src/server/ima/ima-workers.ts';
import { KERNEL_HASHES } from '../../src/evidence/ima/kernel-hashes.ts';
import {
  BOOT,
  bootAggregate,
  file,
  h,
  hex,
  join,
  quoted,
  sha256,
  signedFile,
} from '../../test/support/ima.ts';
import type { MadeEntry } from '../../test/support/ima.ts';

type Kind = 'ng' | 'rsa' | 'ecdsa';

interface Case {
  readonly name: string;
  readonly kind: Kind;
  readonly entries: number;
  /** Different files; a longer list measures them again under other paths or, in `ng`, once more. */
  readonly files: number;
  readonly runs: number;
  readonly cores: 1 | 2;
}

const SIZES: readonly Omit<Case, 'cores'>[] = [
  { name: 'ima-ng-10k', kind: 'ng', entries: 10_000, files: 10_000, runs: 20 },
  { name: 'ima-ng-100k', kind: 'ng', entries: 100_000, files: 100_000, runs: 6 },
  { name: 'ima-ng-1m', kind: 'ng', entries: 1_000_000, files: 100_000, runs: 2 },
  { name: 'ima-sig-rsa-100k', kind: 'rsa', entries: 100_000, files: 10_000, runs: 2 },
  { name: 'ima-sig-ecdsa-100k', kind: 'ecdsa', entries: 100_000, files: 10_000, runs: 1 },
];
const CASES: readonly Case[] = SIZES.flatMap((one) => [
  { ...one, cores: 1 as const },
  { ...one, name: `${one.name}-2core`, cores: 2 as const },
]);

interface Result {
  readonly name: string;
  /** Entries per second, wall clock, best run. */
  readonly value: number;
  readonly unit: 'entries/s';
  /** SHA-256 of 64 bytes per second. */
  readonly against: number;
  readonly ratio: number;
  /** Entries per second of processor time, all threads: what a shared machine distorts least. */
  readonly perCpuSecond: number;
  readonly entries: number;
  readonly distinctFiles: number;
  /** Once more with every signature in the cache; null without signatures. */
  readonly warm: number | null;
  readonly peakMiB: number;
  /** Peak above what the process had before the first run, which held rules and keys and no list. */
  readonly growthMiB: number;
}

const CHUNK = 1024 * 1024;

/** Highest resident memory seen while lists were read, in bytes. */
let peak = 0;

/**
 * Reads the file again each time it is iterated, each chunk in the memory of the one before, and looks at the process's
 * memory with each.
 */
function chunksOf(name: string): Iterable<Uint8Array> {
  const memory = new Uint8Array(CHUNK);
  return {
    *[Symbol.iterator]() {
      const descriptor = openSync(name, 'r');
      try {
        for (;;) {
          const length = readSync(descriptor, memory);
          peak = Math.max(peak, process.memoryUsage.rss());
          if (length === 0) return;
          yield length === CHUNK ? memory : memory.subarray(0, length);
        }
      } finally {
        closeSync(descriptor);
      }
    },
  };
}

interface Prepared {
  readonly list: Iterable<Uint8Array>;
  readonly question: ImaQuestion;
}

const filePath = (i: number): string => `/usr/lib/x86_64-linux-gnu/perl/5.36/module${i}/file${i % 97}.so`;

function prepare(one: Case, folder: string): Prepared {
  const list = path.join(folder, 'list');
  const { rules, entryOf } = one.kind === 'ng' ? listed(one) : signed(one);
  let pcr10 = new Uint8Array(32);
  const descriptor = openSync(list, 'w');
  for (let i = 0; i < one.entries; i++) {
    const made = i === 0 ? bootAggregate() : entryOf(i);
    writeSync(descriptor, made.bytes);
    pcr10 = new Uint8Array(h('sha256', pcr10, h('sha256', made.hashed)));
  }
  closeSync(descriptor);
  return {
    list: chunksOf(list),
    question: { pcrs: quoted({ sha256: pcr10 }), boot: BOOT, rules },
  };
}

interface Source {
  readonly rules: CompiledImaRules;
  readonly entryOf: (i: number) => MadeEntry;
}

function listed({ files }: Case): Source {
  const allowed: Record<string, string[]> = {};
  for (let i = 0; i < files; i++) allowed[filePath(i)] = [`sha256:${hex(sha256(`content ${i}`))}`];
  return {
    rules: compileImaRules({ ...NO_IMA_RULES, files: allowed }),
    entryOf: (i) => file(filePath(i % files), `content ${i % files}`),
  };
}

function signed({ kind, files }: Case): Source {
  const { privateKey, publicKey } =
    kind === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const keyId = subjectKeyId(publicKey);
  const signatures = Array.from({ length: files }, (_, i) => {
    // The kernel's signature is over the file's digest, which is what signing the file makes.
    const signature = sign('sha256', Buffer.from(`content ${i}`, 'latin1'), privateKey);
    const size = Uint8Array.of(signature.length >> 8, signature.length & 0xff);
    return join(Uint8Array.of(3, 2, ALGORITHM), keyId, size, signature);
  });
  return {
    rules: compileImaRules({
      ...NO_IMA_RULES,
      signed: [{ path: '/usr/**', keyrings: ['distribution'] }],
      keyrings: { distribution: [spki.toString('base64')] },
    }),
    entryOf: (i) => signedFile(filePath(i), `content ${i % files}`, signatures[i % files]!),
  };
}

const ALGORITHM = KERNEL_HASHES.findIndex(({ name }) => name === 'sha256');

/** Last four bytes of SHA-1 over the key's bits, which follow the header of the SubjectPublicKeyInfo. */
function subjectKeyId(key: KeyObject): Uint8Array {
  const jwk = key.export({ format: 'jwk' });
  const bits =
    jwk.kty === 'EC'
      ? join(Uint8Array.of(4), Buffer.from(jwk.x!, 'base64url'), Buffer.from(jwk.y!, 'base64url'))
      : key.export({ type: 'pkcs1', format: 'der' });
  return h('sha1', bits).subarray(16);
}

/** SHA-256 of 64 bytes per second. */
function bareRate(): number {
  const input = new Uint8Array(64);
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    for (let i = 0; i < 50_000; i++) hash('sha256', input, 'binary');
    best = Math.max(best, 50_000 / ((performance.now() - start) / 1000));
  }
  return best;
}

interface Speed {
  readonly wall: number;
  readonly cpu: number;
}

async function measure(
  one: Case,
  { list, question }: Prepared,
  workers: ImaWorkers | undefined,
): Promise<Speed> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const ima = workers ? await verifyImaWith(list, question, workers) : verifyIma(list, question);
  const wall = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  // A benchmark of something that doesn't work is worth nothing.
  if (ima.consumed !== one.entries || ima.findings.known !== one.entries - 1)
    throw new Error(`${one.name}: wrong`);
  return { wall: one.entries / wall, cpu: one.entries / ((user + system) / 1e6) };
}

async function run(one: Case): Promise<Result> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-'));
  const workers = one.cores === 2 ? new ImaWorkers(1) : undefined;
  try {
    const prepared = prepare(one, folder);
    const before = bareRate();
    globalThis.gc?.();
    const baseline = process.memoryUsage.rss();
    peak = baseline;
    const speeds: Speed[] = [];
    for (let i = 0; i < one.runs; i++) {
      const signatures = createSignatureCache();
      speeds.push(
        await measure(one, { ...prepared, question: { ...prepared.question, signatures } }, workers),
      );
    }
    let warm: number | null = null;
    if (one.kind !== 'ng') {
      const question = { ...prepared.question, signatures: createSignatureCache() };
      await measure(one, { ...prepared, question }, workers);
      warm = (await measure(one, { ...prepared, question }, workers)).wall;
    }
    const against = Math.max(before, bareRate());
    const value = Math.max(...speeds.map(({ wall }) => wall));
    return {
      name: one.name,
      value: Math.round(value),
      unit: 'entries/s',
      against: Math.round(against),
      ratio: Number((value / against).toFixed(3)),
      perCpuSecond: Math.round(Math.max(...speeds.map(({ cpu }) => cpu))),
      entries: one.entries,
      distinctFiles: one.files,
      warm: warm === null ? null : Math.round(warm),
      peakMiB: Math.round(peak / 2 ** 20),
      growthMiB: Math.round((peak - baseline) / 2 ** 20),
    };
  } finally {
    await workers?.close();
    rmSync(folder, { recursive: true });
  }
}

const USAGE = `usage: scripts/bench/ima [--json] [CASE]…
cases: ${CASES.map(({ name }) => name).join(' ')}
`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: 'boolean' }, one: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  const alone = CASES.find(({ name }) => name === values.one);
  if (alone !== undefined) {
    process.stdout.write(JSON.stringify(await run(alone)));
    return 0;
  }
  const unknown = positionals.filter((name) => !CASES.some((one) => one.name === name));
  if (values.help || unknown.length > 0) {
    process.stderr.write(USAGE);
    return values.help ? 0 : 2;
  }
  const chosen = CASES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  const cases = chosen.map(({ name }) => inOwnProcess(name));
  if (values.json) process.stdout.write(`${JSON.stringify({ bench: 'ima', cases }, null, 2)}\n`);
  else printTable(cases);
  return 0;
}

function inOwnProcess(name: string): Result {
  process.stderr.write(`${name} …\n`);
  const self = fileURLToPath(import.meta.url);
  const child = spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', self, '--one', name], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (child.status !== 0) throw new Error(`${name} failed`);
  return JSON.parse(child.stdout) as Result;
}

function printTable(cases: readonly Result[]): void {
  const rows = [
    ['case', 'entries/s', 'of SHA-256', 'per CPU-s', 'warm cache', 'peak MiB', 'growth MiB'],
    ...cases.map((one) => [
      one.name,
      one.value.toLocaleString('en'),
      one.ratio.toFixed(2),
      one.perCpuSecond.toLocaleString('en'),
      one.warm === null ? '' : one.warm.toLocaleString('en'),
      String(one.peakMiB),
      String(one.growthMiB),
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    process.stdout.write(
      `${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')}\n`,
    );
  }
}

process.exitCode = await main();
