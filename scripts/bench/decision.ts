/**
 * Whole decisions over HTTPS with durable audit: challenge and execution of enrolled hosts whose TPMs are done in
 * software (real quotes and signatures, no TPM's time), against a verifier in a process of its own. What counts is the
 * processor time of the verifier's process, all its threads, so the load generator on the same machine doesn't
 * distort it; beside it stands what the bare cryptographic operations of one decision take on the same machine.
 */
import { createECDH, createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { fromBase64, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { BenchVerifier, TRUST_DOMAIN, textOf } from './lib/bench-verifier.ts';
import type { BenchHost } from './lib/bench-verifier.ts';
import { between, processorTime } from './lib/processor-time.ts';
import type { ProcessorTime } from './lib/processor-time.ts';
import { executionBody } from './lib/software-agent.ts';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '1000' },
    decisions: { type: 'string', default: '2000' },
    'warm-up': { type: 'string', default: '6000' },
    workers: { type: 'string', default: '32' },
    profile: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(
    'usage: scripts/bench/decision [--hosts N] [--decisions N] [--warm-up N] [--workers N] [--profile DIR] [--json]\n' +
      '--warm-up: at most so many decisions before those that count; it ends when their cost does not fall any more\n' +
      '--profile: a CPU profile of each thread of the verifier, written when it ends\n',
  );
  process.exit(0);
}
const HOSTS = Number(values.hosts);
const DECISIONS = Number(values.decisions);
const WARM_UP = Number(values['warm-up']);
const WORKERS = Math.min(Number(values.workers), HOSTS);
/** Decisions whose cost is compared with that of as many before them. */
const BLOCK = 400;

interface Phase {
  readonly decisions: number;
  readonly seconds: number;
  readonly cpu: ProcessorTime;
  /** Milliseconds of challenge and execution together, sorted. */
  readonly latencies: readonly number[];
}

async function decide({ host, client }: BenchHost, verifier: BenchVerifier): Promise<number> {
  const begin = performance.now();
  const { json: challenge } = await client.request('POST', '/v1/challenges', {
    body: { v: 1, purpose: 'execution' },
  });
  const answered = performance.now();
  const body = await executionBody(host, {
    trustDomain: TRUST_DOMAIN,
    nonce: textOf(challenge, 'nonce'),
    policyHash: verifier.policyHash,
    logSize: '1',
    envelope: verifier.signer.envelope,
  });
  const asked = performance.now();
  const { json } = await client.request('POST', '/v1/executions', { body });
  if (typeof json['sealed'] !== 'object') throw new Error('nothing was released');
  return performance.now() - asked + (answered - begin);
}

/** @param rate decisions per second to offer; undefined: as many as there is room for */
async function phase(
  hosts: readonly BenchHost[],
  verifier: BenchVerifier,
  decisions: number,
  rate?: number,
): Promise<Phase> {
  const latencies: number[] = [];
  let next = 0;
  const begin = performance.now();
  const cpu = processorTime(verifier.pid);
  const worker = async (lane: number): Promise<void> => {
    // Each lane has its own hosts: a host's TPM answers one request after the other.
    const own = hosts.filter((_, i) => i % WORKERS === lane);
    for (let turn = 0; ; turn++) {
      const index = next++;
      if (index >= decisions) return;
      if (rate !== undefined) {
        const due = begin + (index / rate) * 1000;
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
      }
      const mine = own[turn % own.length];
      if (mine !== undefined) latencies.push(await decide(mine, verifier));
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, lane) => worker(lane)));
  const seconds = (performance.now() - begin) / 1000;
  return {
    decisions,
    seconds,
    cpu: between(cpu, processorTime(verifier.pid)),
    latencies: latencies.sort((a, b) => a - b),
  };
}

/** Milliseconds of processor time that one decision of a phase took. */
const costOf = ({ cpu, decisions }: Phase): { readonly all: number; readonly main: number } => ({
  all: (cpu.all * 1000) / decisions,
  main: (cpu.main * 1000) / decisions,
});

/** How much less two blocks may cost than the two before them when a verifier counts as warm. */
const STEADY = 0.03;

/**
 * Decides until V8 has compiled what a decision runs through: until blocks don't get cheaper, twice in a row compared.
 * @returns the cost of each block; steady is false when there were enough decisions before that
 */
async function warmUp(
  hosts: readonly BenchHost[],
  verifier: BenchVerifier,
): Promise<{ readonly blocks: readonly number[]; readonly steady: boolean }> {
  const blocks: number[] = [];
  const mean = (of: readonly number[]): number => of.reduce((sum, one) => sum + one, 0) / of.length;
  while (blocks.length * BLOCK < WARM_UP) {
    blocks.push(costOf(await phase(hosts, verifier, BLOCK)).main);
    process.stderr.write(`  main thread: ${(blocks.at(-1) ?? 0).toFixed(2)} ms a decision\n`);
    const [before, last] = [blocks.slice(-4, -2), blocks.slice(-2)];
    if (before.length === 2 && mean(last) > mean(before) * (1 - STEADY)) return { blocks, steady: true };
  }
  return { blocks, steady: false };
}

/** Milliseconds of processor time that the cryptography of one decision takes by itself, in this process. */
function bareMilliseconds(): number {
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519');
  const data = utf8('x'.repeat(500));
  const ecSignature = sign('sha256', data, ec.privateKey);
  const edSignature = sign(null, data, ed.privateKey);
  const ecdh = createECDH('prime256v1');
  ecdh.generateKeys();
  const peer = createECDH('prime256v1').generateKeys();
  const once = (): void => {
    // Quote and holder proof; the artifact's signature.
    for (let i = 0; i < 2; i++) verify('sha256', data, ec.publicKey, ecSignature);
    verify(null, data, ed.publicKey, edSignature);
    // Authorization, attestation result, SVID, release key's signature; the checkpoint.
    for (let i = 0; i < 4; i++) sign('sha256', data, ec.privateKey);
    sign(null, data, ed.privateKey);
    // The release key, and the seed for the EK: a new key and one agreement.
    generateKeyPairSync('ec', { namedCurve: 'P-256' });
    createECDH('prime256v1').generateKeys();
    ecdh.computeSecret(peer);
    for (let i = 0; i < 100; i++) createHash('sha256').update(data).digest();
  };
  for (let i = 0; i < 200; i++) once();
  const begin = process.cpuUsage();
  for (let i = 0; i < 500; i++) once();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1000 / 500;
}

const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

function summary(name: string, one: Phase): JsonObject {
  const { decisions, seconds, cpu, latencies } = one;
  const cost = costOf(one);
  return {
    name,
    decisions,
    perSecond: round(decisions / seconds),
    perCpuSecond: round(decisions / cpu.all),
    cpuMs: round(cost.all, 2),
    mainThreadMs: round(cost.main, 2),
    p50: round(percentile(latencies, 0.5)),
    p99: round(percentile(latencies, 0.99)),
  };
}

/** The log must have a leaf for each answer: a benchmark of something that doesn't work is worth nothing. */
async function checkLog(verifier: BenchVerifier, before: bigint, decisions: number): Promise<void> {
  const size = await logSize(verifier);
  if (size - before !== BigInt(decisions)) throw new Error('the log doesn’t have one leaf for each decision');
}

async function logSize(verifier: BenchVerifier): Promise<bigint> {
  const { text } = await verifier.operator.request('GET', '/checkpoint');
  const [, size = '0', root = ''] = text.split('\n');
  if (fromBase64(root, 'root').length !== 32) throw new Error('not a checkpoint');
  return BigInt(size);
}

async function main(): Promise<void> {
  const { profile } = values;
  await using verifier = await BenchVerifier.start(
    profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`],
  );
  process.stderr.write(`enrolling ${String(HOSTS)} hosts …\n`);
  const hosts = await verifier.enroll(HOSTS);
  process.stderr.write('warming up …\n');
  const { blocks, steady } = await warmUp(hosts, verifier);
  const before = await logSize(verifier);
  process.stderr.write('full load …\n');
  const bareBefore = bareMilliseconds();
  const full = await phase(hosts, verifier, DECISIONS);
  const bare = (bareBefore + bareMilliseconds()) / 2;
  await checkLog(verifier, before, full.decisions);
  process.stderr.write('half load …\n');
  const half = await phase(hosts, verifier, Math.ceil(DECISIONS / 4), full.decisions / full.seconds / 2);
  report({ full, half, bare, warmUp: { decisions: blocks.length * BLOCK, steady } });
  for (const { client } of hosts) await client.close();
}

interface Result {
  readonly full: Phase;
  readonly half: Phase;
  /** Milliseconds of processor time, measured before and after the full load. */
  readonly bare: number;
  readonly warmUp: { readonly decisions: number; readonly steady: boolean };
}

function report({ full, half, bare, warmUp }: Result): void {
  const cases = [summary('full load', full), summary('half load', half)];
  const { all, main } = costOf(full);
  const load = round(loadavg()[0] ?? 0);
  if (values.json) {
    const result = { bench: 'decision', hosts: HOSTS, load, warmUp, cases, bareMs: round(bare, 3) };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  for (const one of cases) process.stdout.write(`${JSON.stringify(one)}\n`);
  process.stdout.write(
    `after ${String(warmUp.decisions)} decisions${warmUp.steady ? '' : ', not steady yet'}, load ${String(load)}: ` +
      `one decision ${all.toFixed(2)} ms of processor time, ${main.toFixed(2)} ms of it in the main thread; ` +
      `its bare cryptography ${bare.toFixed(2)} ms (ratio ${(bare / all).toFixed(2)}); ` +
      'goal ≥ 500 a CPU-second, p99 < 50 ms at half load\n',
  );
}

await main();
