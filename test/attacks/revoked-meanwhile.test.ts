import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { HostAccess, systemClock } from '../../src/agent/index.ts';
import type { Host } from '../../src/agent/index.ts';
import { AttestationLoop } from '../../src/agent/attestation-loop.ts';
import { Refusal } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import { GatewayWorld, OWN_USER } from '../gateway/world.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

vi.setConfig({ testTimeout: 120_000 });

// Revocations of what nobody here rests on, one after another, while a host asks: what was being decided is denied, the
// host asks again, and nothing ends that was not named.
const CHECK = 'revoked-meanwhile';
const OVER = { check: 'test', reason: 'the test is over' };
const directory = temporaryDirectory();
chmodSync(directory, 0o755);
let world: GatewayWorld;
let gateway: Gateway;
let hosts: HostAccess;
/** Checks of the refusals that the gateway was answered. */
const refused: string[] = [];
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
  // An emulated TPM has one client at a time.
  await world.host.close();
  hosts = new HostAccess({ state: path.join(directory, 'host') });
  gateway = world.gateway({ host: async () => listening(await hosts.current()) });
}, 180_000);
afterAll(async () => {
  await hosts.drop();
  await world.agents.stop();
  await world.swtpm.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

/** The host as it is; what it is refused is heard. */
function listening(host: Host): Host {
  const request: Host['client']['request'] = async (...asked) => {
    try {
      return await host.client.request(...asked);
    } catch (error) {
      if (error instanceof Refusal) refused.push(error.check);
      throw error;
    }
  };
  return new Proxy(host, {
    get: (target, name) => {
      if (name === 'client') return { request };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Revokes one artifact after another until something is denied for it. */
async function revokeUntil(denied: () => boolean): Promise<void> {
  while (!denied()) {
    const id = `sha256:${randomBytes(32).toString('hex')}`;
    await world.agents.operate('/v1/revocations', { kind: 'artifact', id, reason: 'not of this host' });
  }
}

describe('a revocation of something else while the verifier decides', () => {
  let run: ReturnType<Gateway['run']>;
  it('makes the gateway ask again: the run starts', async () => {
    const order = await world.order(world.file('waits', '#!/bin/sh\nwhile :; do sleep 0.2; done\n'), {});
    const revoked = revokeUntil(() => refused.includes(CHECK));
    do {
      for (const { executionId } of gateway.active()) await gateway.end([executionId], OVER);
      const stream = () => new PassThrough().resume();
      const streams = { stdin: stream(), stdout: stream(), stderr: stream() };
      run = gateway.runArtifact(order, OWN_USER, { streams });
      run.catch(() => undefined);
      while (gateway.active().length === 0) await Promise.race([sleep(20), run]);
    } while (!refused.includes(CHECK));
    await revoked;
  });

  it('ends no execution: the host attests again, and it is renewed', async () => {
    const events: JsonObject[] = [];
    const loop = new AttestationLoop({
      hosts,
      runner: {
        active: () => gateway.active(),
        end: (ids, denial) => gateway.end(ids, denial),
        renew: (renewed) => gateway.renew(renewed),
      },
      clock: systemClock,
      random: systemRandom,
      times: { intervalMs: 60_000, jitter: 0, maxBackoffMs: 1000 },
      report: (event) => events.push(event),
    });
    const denied = () => events.filter(({ check }) => check === CHECK);
    // More than once, too: it is no judgement of this host.
    const revoked = revokeUntil(() => denied().length > 1);
    while (denied().length < 2) await loop.now().catch(() => undefined);
    await revoked;
    expect(denied()).toMatchObject(
      denied().map(() => ({ event: 'failed', executions: expect.any(Number) as number })),
    );
    expect(gateway.active()).toHaveLength(1);
    await loop.now();
    expect(events.at(-1)).toMatchObject({ event: 'attested', renewed: 1, ended: 0 });

    await gateway.end(
      gateway.active().map(({ executionId }) => executionId),
      OVER,
    );
    expect(await run).toMatchObject({ denial: OVER });
  });
});
