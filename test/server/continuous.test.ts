import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { leafBody } from '../../src/audit/index.ts';
import { toBase64url } from '../../src/base/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DecisionHost, DecisionWorld, claimsOf } from './decision-world.ts';
import type { Allowed } from './decision-world.ts';

vi.setConfig({ testTimeout: 120_000 });

// What attestation after attestation means for the executions of a host, over HTTPS with an emulated TPM.
let world: DecisionWorld;
let host: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'), {
    SEALGATE_ATTESTATION_QUARANTINE: 'true',
  });
  await world.publish();
  const value = toBase64url(new Uint8Array(randomBytes(60 * 1024)));
  const put = await world.operate('POST', '/v1/secrets', { name: 'database-password', value });
  if (put.status >= 300) throw new Error(put.text);
  host = await DecisionHost.enroll(world, 'host-a');
}, 120_000);
afterAll(async () => {
  await host.close();
  await world.verifier.server.stop();
});

interface Live {
  readonly token: string;
  readonly sequence: number;
  readonly workload: Allowed['workload'];
}
const liveOf = ({ answer, workload }: Allowed): Live => ({
  token: String(answer['authorization']),
  sequence: 0,
  workload,
});
const shownOf = async (executionId: string) =>
  (await world.operate('GET', `/v1/executions/${executionId}`)).json;

async function attest(live: readonly Live[]): Promise<Record<string, unknown>> {
  const { session, nonceTpm } = await host.session();
  const { body } = await host.prepareAttestation(live, nonceTpm);
  const { json } = await host.attest(body);
  await session.flush();
  return json;
}

describe('a host with more executions than one attestation has room for', () => {
  it('renews all of them in several, and loses none', async () => {
    const runs: Allowed[] = [];
    for (let i = 0; i < 10; i++) runs.push(await host.run({ request: { credentials: ['database'] } }));
    const first = await attest(runs.map(liveOf));
    const renewed = (first['authorizations'] as string[]).map((token) => claimsOf(token).client_id);
    const deferred = first['deferred'] as string[];
    expect(first['ended']).toEqual([]);
    expect(renewed.length).toBeGreaterThan(0);
    expect(deferred.length).toBeGreaterThan(0);
    expect([...renewed, ...deferred].sort()).toEqual(runs.map(({ request }) => request.executionId).sort());
    // Those that had no room are as they were: the same authorizations name them again.
    const left = runs.filter(({ request }) => deferred.includes(request.executionId));
    const second = await attest(left.map(liveOf));
    expect(second).toMatchObject({ ended: [], deferred: [] });
    expect(second['authorizations']).toHaveLength(left.length);
    for (const { request } of runs)
      expect(await shownOf(request.executionId)).toMatchObject({ state: 'issued', sequence: 1 });
  });
});

describe('a reboot', () => {
  it('is recognized as one: what ran before it is lost, at once, with the reason', async () => {
    const run = await host.run();
    await host.tpm.close();
    await host.emulator.reboot();
    host.tpm = await Tpm.open(host.emulator.tcti);
    await host.loadKey();
    const answer = await attest([]);
    expect(answer['leaf']).toBeDefined();
    expect(await shownOf(run.request.executionId)).toMatchObject({
      ...{ state: 'lost', reason: 'the host was restarted' },
    });
    // The host is as good as before.
    const next = await host.run();
    const renewed = await attest([liveOf(next)]);
    expect(renewed).toMatchObject({ ended: [] });
    expect(renewed['authorizations']).toHaveLength(1);
  });
});

describe('an attestation that somebody held back until a later one was accepted', () => {
  it('is refused as late: the host stays active, and what runs there goes on', async () => {
    const run = await host.run();
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([], nonceTpm);
    expect(await attest([])).toMatchObject({ ended: [] });
    expect((await host.attest(body)).json).toMatchObject({
      check: 'quote-overtaken',
      code: 'expired-authorization',
    });
    await session.flush();
    const { json } = await world.operate('GET', `/v1/hosts/${host.hostId}`);
    expect(json['state']).toBe('active');
    expect(await shownOf(run.request.executionId)).toMatchObject({ state: 'issued' });
    expect(await attest([liveOf(run)])).toMatchObject({ ended: [] });
  });
});

describe('a host that is no longer what it should be', () => {
  it('is quarantined where the configuration says so, comes back by an operator, and attests again', async () => {
    const run = await host.run();
    await host.tpm.pcrExtend(0, { sha256: new Uint8Array(32).fill(3) });
    const denied = await attest([liveOf(run)]);
    expect(denied).toMatchObject({ check: 'pcr-value' });
    const { json } = await world.operate('GET', `/v1/hosts/${host.hostId}`);
    expect(json['state']).toBe('quarantined');
    expect(await shownOf(run.request.executionId)).toMatchObject({ state: 'revoked', reason: 'pcr-value' });
    const first = Number(denied['auditIndex']);
    const leaves = await Promise.all([0, 1, 2].map((after) => world.leaf(first + after)));
    expect(leaves).toMatchObject([
      { kind: 'decision', outcome: 'deny', denial: { check: 'pcr-value' } },
      { kind: 'transition', to: 'quarantined', reason: 'pcr-value', by: { kind: 'verifier' } },
      { kind: 'outcome', state: 'revoked', reason: 'pcr-value' },
    ]);
    // Restored too early, it is found out again; rebooted into what it should be, it goes on.
    const restore = { reason: 'repaired' };
    await world.operate('POST', `/v1/hosts/${host.hostId}/restore`, restore);
    expect(await attest([])).toMatchObject({ check: 'pcr-value' });
    await world.operate('POST', `/v1/hosts/${host.hostId}/restore`, restore);
    await host.tpm.close();
    await host.emulator.reboot();
    host.tpm = await Tpm.open(host.emulator.tcti);
    await host.loadKey();
    expect(await attest([])).toMatchObject({ ended: [] });
    expect((await host.run()).answer['authorization']).toBeDefined();
  });

  it('is quarantined when its TPM went back behind what was accepted before the challenge', async () => {
    const { ledger, records } = world.verifier.server.services;
    const mark = await records.get({ kind: 'counters', id: host.hostId });
    const { resetCount } = mark?.body ?? {};
    // As if a quote of a later boot had been accepted, before this state of the TPM was put back.
    const accepted = await ledger.commit({
      leaf: leafBody({
        ...{ v: 1, kind: 'operator', action: 'secret-put', target: 'x@1', digest: null },
        by: { kind: 'operator', id: '00' },
      }),
      ...{ preconditions: [], once: [], writes: [], bodies: [] },
      counters: {
        ...{ ek: host.hostId, resetCount: Number(resetCount) + 5, restartCount: 0 },
        ...{ clock: '9999999999', safe: true },
      },
    });
    expect(accepted.ok).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await attest([])).toMatchObject({ check: 'e17' });
    const { json } = await world.operate('GET', `/v1/hosts/${host.hostId}`);
    expect(json['state']).toBe('quarantined');
  });
});
