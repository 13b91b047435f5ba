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

// Revocations of what nobody here rests on, one after another, while a host asks: nothing is denied for them. A secret that
// is rotated does move what is being decided: the host asks again, and nothing ends.
const CHECK = 'state-moved';
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
function listening(host: Host, onRefused: () => void = () => undefined): Host {
  const request: Host['client']['request'] = async (...asked) => {
    try {
      return await host.client.request(...asked);
    } catch (error) {
      if (error instanceof Refusal) {
        refused.push(error.check);
        onRefused();
      }
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

/** Revokes one artifact after another until it is over; told how many so far. */
async function revokeUntil(over: () => boolean, told: (count: number) => void): Promise<void> {
  for (let count = 1; !over(); count++) {
    const id = `sha256:${randomBytes(32).toString('hex')}`;
    await world.agents.operate('/v1/revocations', { kind: 'artifact', id, reason: 'not of this host' });
    told(count);
  }
}
/** Before the next decision is committed, the secret that each run here gets is rotated. */
function rotateBeforeNext(): void {
  const { ledger } = world.agents.verifier.server.services;
  const commit = ledger.commit.bind(ledger);
  const spy = vi.spyOn(ledger, 'commit').mockImplementation(async (change) => {
    if (change.leaf['kind'] === 'decision') {
      spy.mockRestore();
      const value = randomBytes(8).toString('base64url');
      await world.agents.operate('/v1/secrets', { name: 'database-password', value });
    }
    return await commit(change);
  });
}
const stream = () => new PassThrough().resume();
const io = () => ({ streams: { stdin: stream(), stdout: stream(), stderr: stream() } });
const waits = async () =>
  await world.order(world.file('waits', '#!/bin/sh\nwhile :; do sleep 0.2; done\n'), {});
/** Starts one, and waits until it runs. */
async function start(): Promise<{ readonly ended: ReturnType<Gateway['run']> }> {
  for (const { executionId } of gateway.active()) await gateway.end([executionId], OVER);
  const run = gateway.runArtifact(await waits(), OWN_USER, io());
  run.catch(() => undefined);
  while (gateway.active().length === 0) await Promise.race([sleep(20), run]);
  return { ended: run };
}
function attestations(): { readonly loop: AttestationLoop; readonly events: JsonObject[] } {
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
  return { loop, events };
}

describe('revocations of something else while the verifier decides', () => {
  it('refuse no run and no attestation, however many there are', async () => {
    let over = false;
    let count = 0;
    const revoked = revokeUntil(
      () => over,
      (many) => (count = many),
    );
    const { loop, events } = attestations();
    try {
      while (events.length < 3 || count < 20) {
        await start();
        await loop.now();
      }
    } finally {
      over = true;
    }
    await revoked;
    expect(refused).toEqual([]);
    expect(new Set(events.map(({ event }) => event))).toEqual(new Set(['attested']));
  });
});

describe('what a decision rests on moves while it is made', () => {
  let run: Awaited<ReturnType<typeof start>>;
  it('and whoever asked is gone: nothing is asked again', async () => {
    for (const { executionId } of gateway.active()) await gateway.end([executionId], OVER);
    const gone = new AbortController();
    // The gateway asks for its host whenever it begins anew.
    let [begun, before] = [0, 0];
    const impatient = world.gateway({
      host: async () => {
        begun++;
        return listening(await hosts.current(), () => {
          before = begun;
          gone.abort();
        });
      },
    });
    rotateBeforeNext();
    const run = impatient.runArtifact(await waits(), OWN_USER, { ...io(), signal: gone.signal });
    await expect(run).rejects.toMatchObject({ check: 'caller-gone' });
    expect(refused.splice(0)).toEqual([CHECK]);
    expect(begun).toBe(before);
  });

  it('makes the gateway ask again: the run starts', async () => {
    rotateBeforeNext();
    run = await start();
    expect(refused.splice(0)).toEqual([CHECK]);
  });

  it('ends no execution: the host attests again, and it is renewed', async () => {
    const { loop, events } = attestations();
    // More than once, too: it is no judgement of this host.
    for (let i = 0; i < 2; i++) {
      rotateBeforeNext();
      await loop.now().catch(() => undefined);
    }
    const failed = { event: 'failed', check: CHECK, executions: expect.any(Number) as number };
    expect(events).toMatchObject([failed, failed]);
    expect(gateway.active()).toHaveLength(1);
    await loop.now();
    expect(events.at(-1)).toMatchObject({ event: 'attested', renewed: 1, ended: 0 });

    await gateway.end(
      gateway.active().map(({ executionId }) => executionId),
      OVER,
    );
    expect(await run.ended).toMatchObject({ denial: OVER });
  });
});
