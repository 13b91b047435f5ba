/**
 * Where the time of an attestation goes: the TPM (an emulated one), the agent, the network and the verifier. The agent is
 * a process of its own and asks a real verifier over HTTPS; the verifier's share is what its own metrics say.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { enrollHost } from '../../src/agent/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import { AgentWorld } from '../../test/agent/world.ts';
import { operatorTls } from '../../test/support/verifier.ts';
import type { AttestationTimes } from './lib/agent-attestations.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help === true) {
  process.stdout.write('usage: scripts/bench/agent [--rounds N] [--json]\n');
  process.exit(0);
}

const ROUTES = ['/v1/challenges', '/v1/hosts/:hostId/attestations'];
/** Rounds that are not counted: connections and compiled code are new. */
const WARM = 5;

/** Seconds that the verifier spent on the two requests of an attestation, since it started. */
async function verifierSeconds(world: AgentWorld): Promise<number> {
  const { text } = await world.verifier.call({ url: '/metrics', tls: operatorTls(world.directory) });
  const sums = text
    .split('\n')
    .filter((line) => line.includes('_sum{') && ROUTES.some((url) => line.includes(`"${url}"`)));
  if (sums.length < ROUTES.length) throw new Error('the metrics don’t have both requests');
  return sums.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0);
}

async function attest(state: string, rounds: number): Promise<readonly AttestationTimes[]> {
  const script = path.join(import.meta.dirname, 'lib/agent-attestations.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...['--import', 'tsx', script],
    ...[state, String(rounds)],
  ]);
  return JSON.parse(stdout) as readonly AttestationTimes[];
}

function median(samples: readonly number[]): number {
  return [...samples].sort((a, b) => a - b)[samples.length >> 1] ?? NaN;
}

async function main(): Promise<void> {
  const directory = mkdtempSync(path.join(tmpdir(), 'sealgate-bench-agent-'));
  const tpm = await startSwtpm();
  const world = await AgentWorld.start(directory, tpm);
  try {
    await world.publish();
    const state = path.join(directory, 'state');
    await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
    await attest(state, 1);
    const before = await verifierSeconds(world);
    const rounds = Number(values.rounds) + WARM;
    const times = (await attest(state, rounds)).slice(WARM);
    const verifier = (1000 * ((await verifierSeconds(world)) - before)) / rounds;
    const requests = median(times.map((one) => one.requests));
    const result = {
      bench: 'agent',
      rounds: times.length,
      totalMs: median(times.map(({ total }) => total)),
      tpmMs: median(times.map((one) => one.tpm)),
      agentMs: median(times.map(({ total, tpm: own, requests: sent }) => total - own - sent)),
      verifierMs: verifier,
      networkMs: Math.max(0, requests - verifier),
    };
    const rounded = Object.fromEntries(
      Object.entries(result).map(([name, value]) => [
        name,
        typeof value === 'number' ? Number(value.toFixed(2)) : value,
      ]),
    );
    if (values.json === true) process.stdout.write(`${JSON.stringify(rounded, null, 2)}\n`);
    else
      for (const [name, value] of Object.entries(rounded))
        process.stdout.write(`${name.padEnd(12)} ${String(value)}\n`);
  } finally {
    await world.stop();
    await tpm.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
