/**
 * Whole decisions over HTTPS with durable audit: challenge and execution of enrolled hosts whose TPMs are done in
 * software (real quotes and signatures, no TPM's time), against a verifier in a process of its own. What counts is the
 * processor time of the verifier's process, all its threads, so the load generator on the same machine doesn't
 * distort it; beside it stands what the bare cryptographic operations of one decision take on the same machine.
 */
import { createECDH, createHash, generateKeyPairSync, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fromBase64, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { BenchVerifier, TRUST_DOMAIN, textOf } from './lib/bench-verifier.ts';
import type { BenchHost } from './lib/bench-verifier.ts';
import { executionBody } from './lib/software-agent.ts';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '1000' },
    decisions: { type: 'string', default: '4000' },
    workers: { type: 'string', default: '32' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/decision [--hosts N] [--decisions N] [--workers N] [--json]\n');
  process.exit(0);
}
const HOSTS = Number(values.hosts);
const DECISIONS = Number(values.decisions);
const WORKERS = Math.min(Number(values.workers), HOSTS);

/** Processor seconds that a process has used, all threads (proc(5): utime, stime in ticks of 10 ms). */
function cpuSeconds(pid: number): number {
  const fields =
    readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
      .split(') ')[1]
      ?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

interface Phase {
  readonly decisions: number;
  readonly seconds: number;
  readonly cpu: number;
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
async function phase(hosts: readonly BenchHost[], verifier: BenchVerifier, rate?: number): Promise<Phase> {
  const latencies: number[] = [];
  let next = 0;
  const begin = performance.now();
  const cpu = cpuSeconds(verifier.pid);
  const worker = async (lane: number): Promise<void> => {
    // Each lane has its own hosts: a host's TPM answers one request after the other.
    const own = hosts.filter((_, i) => i % WORKERS === lane);
    for (let turn = 0; ; turn++) {
      const index = next++;
      if (index >= DECISIONS) return;
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
    decisions: DECISIONS,
    seconds,
    cpu: cpuSeconds(verifier.pid) - cpu,
    latencies: latencies.sort((a, b) => a - b),
  };
}

/** Milliseconds that the cryptography of one decision takes by itself, in this process. */
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
  const begin = performance.now();
  for (let i = 0; i < 500; i++) once();
  return (performance.now() - begin) / 500;
}

const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

function summary(name: string, { decisions, seconds, cpu, latencies }: Phase): JsonObject {
  return {
    name,
    decisions,
    perSecond: round(decisions / seconds),
    perCpuSecond: round(decisions / cpu),
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
  await using verifier = await BenchVerifier.start();
  process.stderr.write(`enrolling ${String(HOSTS)} hosts …\n`);
  const hosts = await verifier.enroll(HOSTS);
  process.stderr.write('first decisions, which make the connections …\n');
  await phase(hosts, verifier);
  const before = await logSize(verifier);
  process.stderr.write('full load …\n');
  const full = await phase(hosts, verifier);
  await checkLog(verifier, before, full.decisions);
  process.stderr.write('half load …\n');
  const half = await phase(hosts, verifier, full.decisions / full.seconds / 2);
  const bare = bareMilliseconds();
  const cases = [summary('full load', full), summary('half load', half)];
  const perDecision = (full.cpu * 1000) / full.decisions;
  if (values.json) {
    const result = {
      bench: 'decision',
      hosts: HOSTS,
      cases,
      bareMs: round(bare, 3),
      cpuMs: round(perDecision, 3),
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  } else {
    for (const one of cases) process.stdout.write(`${JSON.stringify(one)}\n`);
    process.stdout.write(
      `one decision: ${perDecision.toFixed(2)} ms of processor time; its bare cryptography: ${bare.toFixed(2)} ms ` +
        `(ratio ${(bare / perDecision).toFixed(2)}); goal ≥ 500 a CPU-second, p99 < 50 ms at half load\n`,
    );
  }
  for (const { client } of hosts) await client.close();
}

await main();
