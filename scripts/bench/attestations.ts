/**
 * Host attestations a second, over HTTPS with durable audit: many enrolled hosts whose TPMs are done in software (real
 * quotes and signatures, no TPM's time), each with 0, 1 and 10 executions that are renewed with it. What counts is the
 * processor time of the verifier's process, all its threads. Hosts are enrolled by the verifier's own code in its store before
 * it starts (lib/enroll-in-store.ts): so many at a time share a commit. Every answer's authorizations are counted, and the log must
 * have a leaf for each: a benchmark of something that doesn't work is worth nothing.
 */
import { loadavg } from 'node:os';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseClaims } from '../../src/authorization/index.ts';
import { fromBase64url } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { BenchVerifier, TRUST_DOMAIN, textOf } from './lib/bench-verifier.ts';
import type { BenchHost } from './lib/bench-verifier.ts';
import { attestationBody, executionBody, newWorkload } from './lib/software-agent.ts';
import type { LiveExecution } from './lib/software-agent.ts';

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '10000' },
    attestations: { type: 'string', default: '1000' },
    workers: { type: 'string', default: '16' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write(
    'usage: scripts/bench/attestations [--hosts N] [--attestations N] [--workers N] [--json]\n',
  );
  process.exit(0);
}
const HOSTS = Number(values.hosts);
const ATTESTATIONS = Math.min(Number(values.attestations), HOSTS);
const WORKERS = Math.min(Number(values.workers), ATTESTATIONS);
const EXECUTIONS = [0, 1, 10] as const;
/** Hosts that are measured one after the other with each of them. */
const GROUP = 50;

/** Processor seconds that a process has used, all threads (proc(5): utime, stime in ticks of 10 ms). */
function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${String(pid)}/stat`, 'utf8').split(') ')[1] ?? '';
  const fields = text.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function challenge({ client }: BenchHost, purpose: 'execution' | 'attestation'): Promise<string> {
  const { json } = await client.request('POST', '/v1/challenges', { body: { v: 1, purpose } });
  return textOf(json, 'nonce');
}

const jtiOf = (token: string): string =>
  parseClaims(fromBase64url(token.split('.')[1] ?? '', 'authorization')).jti;

/** Brings a host to as many executions. */
async function fill(
  one: BenchHost,
  live: LiveExecution[],
  count: number,
  verifier: BenchVerifier,
): Promise<void> {
  while (live.length < count) {
    const workload = newWorkload();
    const terms = { trustDomain: TRUST_DOMAIN, policyHash: verifier.policyHash, logSize: '1' };
    const nonce = await challenge(one, 'execution');
    const body = await executionBody(
      one.host,
      { ...terms, nonce, envelope: verifier.signer.envelope },
      workload,
    );
    const { json } = await one.client.request('POST', '/v1/executions', { body });
    const { executionId } = body['request'] as { executionId: string };
    live.push({ workload, executionId, jti: jtiOf(textOf(json, 'authorization')), sequence: 0 });
  }
}

/** One attestation with all executions of the host; they go on. */
async function attest(one: BenchHost, live: LiveExecution[]): Promise<number> {
  const begin = performance.now();
  const nonce = await challenge(one, 'attestation');
  const answered = performance.now();
  const body = await attestationBody(one.host, { trustDomain: TRUST_DOMAIN, nonce, logSize: '1' }, live);
  const asked = performance.now();
  const path = `/v1/hosts/${one.host.id}/attestations`;
  const { json } = await one.client.request('POST', path, { body });
  const latency = performance.now() - asked + (answered - begin);
  const tokens = json['authorizations'] as string[];
  if (tokens.length !== live.length)
    throw new Error(`renewed ${String(tokens.length)} of ${String(live.length)}`);
  for (const [i, token] of tokens.entries()) {
    const before = live[i];
    if (before !== undefined) live[i] = { ...before, jti: jtiOf(token), sequence: before.sequence + 1 };
  }
  return latency;
}

/** Each lane has its own hosts, since a TPM answers one request after the other; connections are made and closed. */
async function lanes(hosts: readonly BenchHost[], task: (one: BenchHost) => Promise<void>): Promise<number> {
  const begin = performance.now();
  const lane = async (number: number): Promise<void> => {
    for (const [i, one] of hosts.entries()) {
      if (i % WORKERS !== number) continue;
      await task(one);
      await one.client.close();
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, number) => lane(number)));
  return (performance.now() - begin) / 1000;
}

const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

async function logSize({ operator }: BenchVerifier): Promise<number> {
  const { text } = await operator.request('GET', '/checkpoint');
  return Number(text.split('\n')[1]);
}

/** What was measured of one number of executions a host. */
interface Measured {
  seconds: number;
  cpu: number;
  readonly latencies: number[];
}

/** All hosts of a group attest once with as many executions: from the first that is started they must not run out. */
async function measure(
  verifier: BenchVerifier,
  live: ReadonlyMap<BenchHost, LiveExecution[]>,
  count: number,
  into: Measured,
): Promise<void> {
  const hosts = [...live.keys()];
  await lanes(hosts, (one) => fill(one, live.get(one) ?? [], count, verifier));
  const [before, cpu] = [await logSize(verifier), cpuSeconds(verifier.pid)];
  into.seconds += await lanes(hosts, async (one) => {
    into.latencies.push(await attest(one, live.get(one) ?? []));
  });
  into.cpu += cpuSeconds(verifier.pid) - cpu;
  if ((await logSize(verifier)) - before !== hosts.length)
    throw new Error('the log doesn’t have one leaf for each attestation');
}

function figures(executions: number, { seconds, cpu, latencies }: Measured): JsonObject {
  latencies.sort((a, b) => a - b);
  return {
    executions,
    attestations: latencies.length,
    perSecond: round(latencies.length / seconds),
    perCpuSecond: round(latencies.length / cpu),
    cpuMs: round((cpu * 1000) / latencies.length, 2),
    p50: round(percentile(latencies, 0.5)),
    p99: round(percentile(latencies, 0.99)),
  };
}

async function main(): Promise<void> {
  await using verifier = await BenchVerifier.start();
  process.stderr.write(`enrolling ${String(HOSTS)} hosts …\n`);
  const begin = performance.now();
  const hosts = await verifier.enrollMany(HOSTS, ATTESTATIONS);
  const enrolling = (performance.now() - begin) / 1000;
  const cases = EXECUTIONS.map((): Measured => ({ seconds: 0, cpu: 0, latencies: [] }));
  // In groups, so that what a host runs was renewed a moment ago when it attests next.
  for (let from = 0; from < hosts.length; from += GROUP) {
    const live = new Map(
      hosts.slice(from, from + GROUP).map((one): [BenchHost, LiveExecution[]] => [one, []]),
    );
    for (const [i, count] of EXECUTIONS.entries()) {
      const into = cases[i];
      if (into !== undefined) await measure(verifier, live, count, into);
    }
    process.stderr.write(`attested ${String(Math.min(from + GROUP, hosts.length))}\n`);
  }
  const [load = 0] = loadavg();
  const shared = { bench: 'attestations', hosts: HOSTS, enrolling: round(enrolling), load: round(load) };
  const result = { ...shared, cases: cases.map((one, i) => figures(EXECUTIONS[i] ?? 0, one)) };
  if (values.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
  else for (const one of [shared, ...result.cases]) process.stdout.write(`${JSON.stringify(one)}\n`);
}

await main();
