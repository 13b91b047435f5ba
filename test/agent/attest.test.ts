import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestHost, enrollHost, openHost, systemClock } from '../../src/agent/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm();
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
});

describe('a host attests', () => {
  it('and its checkpoint goes forward', async () => {
    await using host = await openHost({ state });
    const before = host.checkpoint.read().size;
    const outcome = await attestHost(host, [], systemClock);
    expect(outcome).toMatchObject({ policyVersion: 1, certificateRenewed: false, renewed: [], ended: [] });
    expect(host.checkpoint.read().size).toBeGreaterThan(before);
    expect(host.policySeen.read()?.version).toBe(1);
  });
});
