import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HostAccess, systemClock } from '../../src/agent/index.ts';
import { AttestationLoop } from '../../src/agent/attestation-loop.ts';
import { toBase64url } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import { GatewayWorld, OWN_USER } from '../gateway/world.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

vi.setConfig({ testTimeout: 240_000 });

// A host whose executions don't fit into one attestation, and a verifier that goes away between two of its rounds.
const directory = temporaryDirectory();
chmodSync(directory, 0o755);
let world: GatewayWorld;
let gateway: Gateway;
let hosts: HostAccess;
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
  // An emulated TPM has one client at a time.
  await world.host.close();
  hosts = new HostAccess({ state: path.join(directory, 'host') });
  gateway = world.gateway({ host: () => hosts.current() });
  const value = toBase64url(new Uint8Array(randomBytes(60 * 1024)));
  await world.agents.operate('/v1/secrets', { name: 'database-password', value });
}, 180_000);
afterAll(async () => {
  await hosts.drop();
  await world.agents.stop();
  await world.swtpm.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

// Of secrets as large as these eight fit.
const RUNS = 9;
const sequences = (): readonly number[] => gateway.active().map(({ sequence }) => sequence);

async function startAll(): Promise<readonly ReturnType<Gateway['run']>[]> {
  const file = world.file('waits', '#!/bin/sh\nwhile :; do sleep 0.2; done\n');
  const order = await world.order(file, { credentials: ['database'] });
  const runs: ReturnType<Gateway['run']>[] = [];
  const stream = () => new PassThrough().resume();
  for (let i = 0; i < RUNS; i++) {
    const streams = { stdin: stream(), stdout: stream(), stderr: stream() };
    const run = gateway.runArtifact(order, OWN_USER, { streams });
    run.catch(() => undefined);
    runs.push(run);
    while (gateway.active().length === i) await Promise.race([sleep(20), run]);
  }
  return runs;
}

describe('the attestation loop', () => {
  it('keeps what a round renewed when the verifier is away in the next, says so, and renews all when it is back', async () => {
    const runs = await startAll();
    const events: JsonObject[] = [];
    const rounds: number[] = [];
    let away = true;
    const loop = new AttestationLoop({
      hosts,
      runner: {
        active: () => gateway.active(),
        end: (ids, denial) => gateway.end(ids, denial),
        renew: async (renewed) => {
          rounds.push(renewed.length);
          await gateway.renew(renewed);
          if (away) await world.agents.stop();
        },
      },
      clock: systemClock,
      random: systemRandom,
      times: { intervalMs: 60_000, jitter: 0, maxBackoffMs: 1000 },
      report: (event) => events.push(event),
    });
    await expectRejection('verifier-unreachable', loop.now());
    const [first = 0] = rounds;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThan(RUNS);
    expect(sequences().filter((sequence) => sequence === 1)).toHaveLength(first);
    expect(sequences().filter((sequence) => sequence === 0)).toHaveLength(RUNS - first);
    expect(events).toMatchObject([{ event: 'failed', check: 'verifier-unreachable', executions: RUNS }]);
    expect(loop.state).toMatchObject({ at: null, failure: { check: 'verifier-unreachable' } });

    away = false;
    await world.agents.comeBack();
    rounds.length = 0;
    await loop.now();
    expect(rounds.length).toBeGreaterThan(1);
    expect(rounds.reduce((sum, count) => sum + count)).toBe(RUNS);
    expect(sequences().filter((sequence) => sequence === 2)).toHaveLength(first);
    expect(sequences().filter((sequence) => sequence === 1)).toHaveLength(RUNS - first);
    expect(events[1]).toMatchObject({ event: 'attested', renewed: RUNS, ended: 0 });
    expect(loop.state).toMatchObject({ failure: null, failingSince: null });

    const reason = { check: 'test', reason: 'the test is over' };
    await gateway.end(
      gateway.active().map(({ executionId }) => executionId),
      reason,
    );
    for (const end of await Promise.all(runs)) expect(end).toMatchObject({ denial: reason });
  });
});
