/**
 * From the order to revoke to the end of the process, on real processes: a verifier, an agent on an emulated TPM, and
 * artifacts that run until they are told to end. Each measure begins when the operator's request is sent and ends when
 * the kernel has no such process any more.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { fromUtf8 } from '../../src/base/index.ts';
import { VerifierClient } from '../../src/client/index.ts';
import { PROFILE_SCHEMA, readConfig } from '../../src/config/index.ts';
import { DaemonWorld, passable } from '../../test/e2e/daemon-world.ts';

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    json: { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (values.help) {
  process.stdout.write('usage: scripts/bench/revocation [--runs N] [--json]\n');
  process.exit(0);
}
const RUNS = Number(values.runs);

/** The process that has the text in its command line, as the kernel shows it. */
function processOf(text: string): string | undefined {
  return readdirSync('/proc').find((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

async function operatorOf(profile: string): Promise<VerifierClient> {
  const { config } = readConfig(PROFILE_SCHEMA, new Uint8Array(readFileSync(profile)));
  const read = (name: string): string =>
    fromUtf8(new Uint8Array(readFileSync(path.join(path.dirname(profile), name))), 'PEM');
  const { url, caFingerprint, certificate, key } = config;
  return await VerifierClient.connect({
    ...{ url, caFingerprint },
    ...{ certificatePem: read(certificate), keyPem: read(key) },
  });
}

/** The one that runs: its start is reported a moment after it began. */
async function runningOne(operator: VerifierClient): Promise<string> {
  for (;;) {
    const { json } = await operator.request('GET', '/v1/executions');
    const all = json['executions'] as { executionId: string; state: string }[];
    const found = all.find(({ state }) => state === 'running');
    if (found !== undefined) return found.executionId;
    await sleep(20);
  }
}

/** Milliseconds from the order to the end of the process. */
async function once(world: DaemonWorld, operator: VerifierClient, number: number): Promise<number> {
  const name = `revoked-${String(number)}`;
  await world.script(name, `#!/bin/sh\n# ${name}\necho ready\nwhile :; do sleep 0.01; done\n`);
  const run = world.run(['--credential', 'workload'], `./${name}`);
  await world.until(() => run.stdout() === 'ready\n', run);
  const executionId = await runningOne(operator);
  // The copy that runs is in a directory of the execution's name.
  const pid = processOf(executionId);
  if (pid === undefined) throw new Error('nothing runs');
  const begin = performance.now();
  await operator.request('POST', '/v1/revocations', {
    body: { kind: 'execution', id: executionId, reason: 'measured' },
  });
  while (existsSync(`/proc/${pid}`)) await sleep(1);
  const took = performance.now() - begin;
  await run.exit;
  return took;
}

async function main(): Promise<void> {
  const directory = passable(mkdtempSync(path.join(tmpdir(), 'sealgate-bench-')));
  const world = await DaemonWorld.start(directory, 300);
  const operator = await operatorOf(world.profile);
  try {
    const taken: number[] = [];
    for (let number = 0; number < RUNS; number++) taken.push(await once(world, operator, number));
    taken.sort((a, b) => a - b);
    const at = (share: number): number =>
      Number((taken[Math.min(taken.length - 1, Math.floor(taken.length * share))] ?? 0).toFixed(0));
    const [load = 0] = loadavg();
    const result = { runs: RUNS, p50: at(0.5), p95: at(0.95), most: at(1), load: Number(load.toFixed(1)) };
    if (values.json) process.stdout.write(`${JSON.stringify({ bench: 'revocation', ...result }, null, 2)}\n`);
    else process.stdout.write(`revocation to process end, ms: ${JSON.stringify(result)}; goal 2000\n`);
  } finally {
    await operator.close();
    await world.stop();
    execFileSync('umount', [world.credentials]);
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
