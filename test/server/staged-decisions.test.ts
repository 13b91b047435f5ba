import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import { toDenial } from '../../src/lifecycle/index.ts';
import type { ExecutionAnswer } from '../../src/lifecycle/index.ts';
import { PolicyEngine } from '../../src/policy/index.ts';
import { StagedDecisions } from '../../src/server/policy/staged-decisions.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DecisionHost, DecisionWorld } from './decision-world.ts';
import type { PolicyOptions } from './decision-world.ts';

// Decisions over HTTPS with an emulated TPM, while another bundle is staged beside the active one.
let world: DecisionWorld;
let host: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish({ cedar: cedarOf('report', '') });
  host = await DecisionHost.enroll(world, 'host-a');
}, 120_000);
afterAll(async () => {
  await host.close();
  await world.verifier.server.stop();
});

/** One artifact may run, with what else is asked. */
const cedarOf = (artifact: string, when: string): string =>
  `@id("run") permit (principal, action == Action::"Execute", resource)
   when { context.artifact.name == "${artifact}" && !context.request.privileged ${when} };`;
const stage = (options: PolicyOptions) => world.stage(options);
interface Report {
  readonly digest: string;
  readonly same: number;
  readonly deniedThen: number;
  readonly allowedThen: number;
  readonly undetermined: number;
  readonly failed: number;
  readonly dropped: number;
  readonly checks: readonly unknown[];
  readonly differences: readonly Record<string, unknown>[];
}
const report = async (): Promise<Report | null> => {
  await world.verifier.server.services.staged.settled();
  return (await world.operate('GET', '/v1/policy/staged')).json['staged'] as Report | null;
};
const attest = async () => {
  const { session, nonceTpm } = await host.session();
  const { body } = await host.prepareAttestation([], nonceTpm);
  const answer = await host.attest(body);
  await session.flush();
  return answer;
};

describe('a bundle that is staged', () => {
  it('nothing is looked at twice while there is none', async () => {
    await host.run();
    expect(await report()).toBeNull();
  });

  it('and stricter: what is allowed now would be denied, and is allowed all the same', async () => {
    const { hash } = await stage({ cedar: cedarOf('report', '&& context.request.uid == 0') });
    const before = await world.logSize();
    const { answer } = await host.run();
    expect(answer['authorization']).toBeTypeOf('string');
    const found = await report();
    expect(found).toMatchObject({
      ...{ digest: hash, same: 0, deniedThen: 1, allowedThen: 0, undetermined: 0, failed: 0, dropped: 0 },
      checks: [{ result: 'denied-then', check: 'policy-denied', count: 1 }],
      differences: [
        {
          ...{ result: 'denied-then', purpose: 'execution', hostId: host.hostId, now: null },
          then: { stage: 'policy', code: 'policy-mismatch', check: 'policy-denied' },
        },
      ],
    });
    // One entry, of the real decision, which the difference names.
    expect(await world.logSize()).toBe(before + 1);
    expect(await world.leaf(found?.differences[0]?.['auditIndex'])).toMatchObject({
      kind: 'decision',
      outcome: 'allow',
      policy: { digest: world.bundle?.hash },
    });
  });

  it('what both deny, and what both allow, is no difference', async () => {
    expect((await host.ask({ request: { privileged: true } })).status).toBe(403);
    expect((await attest()).status).toBe(200);
    expect(await report()).toMatchObject({ same: 2, deniedThen: 1, allowedThen: 0 });
  });

  it('what was denied for something else than the bundle is none either', async () => {
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepare(nonceTpm, { request: { uid: 0 } });
    expect((await host.post('/v1/executions', body)).status).toBe(201);
    // The same again: a replay under every bundle.
    expect((await host.post('/v1/executions', body)).status).toBe(409);
    await session.flush();
    // A nonce that the verifier didn't make.
    expect((await host.ask({ nonce: Buffer.alloc(61, 1).toString('base64url') })).status).toBe(403);
    const found = await report();
    expect(found).toMatchObject({ deniedThen: 1, allowedThen: 0, failed: 0 });
  });

  it('is forgotten when another one is staged, and that one, looser, allows what is denied now', async () => {
    const { hash } = await stage({
      cedar: cedarOf('report', '').replace('&& !context.request.privileged', ''),
    });
    expect(await report()).toMatchObject({ digest: hash, same: 0, deniedThen: 0, differences: [] });
    const denied = await host.ask({ request: { privileged: true } });
    expect(denied.status).toBe(403);
    expect(await report()).toMatchObject({
      ...{ digest: hash, deniedThen: 0, allowedThen: 1 },
      checks: [{ result: 'allowed-then', check: 'policy-denied', count: 1 }],
      differences: [{ result: 'allowed-then', now: { check: 'policy-denied' }, then: null }],
    });
  });

  it('that breaks its engine changes nothing of the real decision, nor of the next', async () => {
    const { stagedPolicies } = world.verifier.server.services.governance;
    const loaded = await stagedPolicies.load((await report())?.digest ?? '');
    const broken = new PolicyEngine(() => {
      throw new RangeError('unreachable');
    });
    Object.assign(loaded, { engine: broken });
    await host.run();
    await host.run();
    expect(await report()).toMatchObject({
      deniedThen: 2,
      checks: expect.arrayContaining([{ result: 'denied-then', check: 'policy-error', count: 2 }]) as unknown,
    });
    Object.assign(loaded, {
      engine: {
        authorize: () => {
          throw new RangeError('unreachable');
        },
      },
    });
    await host.run();
    expect(await report()).toMatchObject({ deniedThen: 2, failed: 1 });
  });

  it('with reference values that the host doesn’t have: its attestation would be denied', async () => {
    await stage({ cedar: cedarOf('report', ''), pcr0: 'ff'.repeat(32) });
    expect((await attest()).status).toBe(200);
    await host.run();
    const found = await report();
    expect(found).toMatchObject({ deniedThen: 2, same: 0 });
    expect(found?.differences.map(({ purpose }) => purpose)).toEqual(['execution', 'attestation']);
    expect(found?.differences[0]?.['then']).toMatchObject({ stage: 'environment' });
  });

  it('that asks for another quote can’t be told: its hosts would be asked for that one', async () => {
    await stage({ cedar: cedarOf('report', ''), quoted: 'sha256:0,1,2,3,4,5,6,7,8,9,14' });
    await host.run();
    expect(await report()).toMatchObject({
      ...{ deniedThen: 0, undetermined: 1, differences: [] },
      checks: [{ result: 'undetermined', check: 'e19', count: 1 }],
    });
  });

  it('is asked about no more than can wait, and its faults deny nothing', async () => {
    const { staged, records, decisions, governance } = world.verifier.server.services;
    await staged.settled();
    const denial = toDenial(new Refusal('secret-unknown', 'policy grants a secret that is not stored'));
    const caller = { hostId: host.hostId, agentKey: '', notAfter: 0 };
    let compared = 0;
    const decide = async (desk: StagedDecisions) =>
      await desk.decide<ExecutionAnswer>({
        ...{ purpose: 'execution', caller, body: {} },
        decide: () => Promise.resolve({ outcome: 'deny', denial }),
        judge: () => {
          compared++;
          return Promise.resolve(null);
        },
      });
    const told: unknown[] = [];
    const onError = (error: unknown): void => void told.push(error);
    const parts = { records, decisions, policies: governance.stagedPolicies, onError };
    const many = new StagedDecisions(parts);
    const answers = await Promise.all(Array.from({ length: 70 }, () => decide(many)));
    expect(answers).toEqual(answers.map(() => ({ outcome: 'deny', denial })));
    await many.settled();
    // Neither bundle says no here: what denied comes after the stages that judge. Each was asked once.
    expect(Object.fromEntries(many.totals())).toEqual({ undetermined: 16, dropped: 54 });
    expect(compared).toBe(32);
    await many.close();

    const no = () => Promise.reject(new Error('gone'));
    const unloaded = new StagedDecisions({ ...parts, policies: { load: no } });
    const unread = new StagedDecisions({ ...parts, records: { ...records, get: no } });
    for (const desk of [unloaded, unread]) {
      expect(await decide(desk)).toEqual({ outcome: 'deny', denial });
      await desk.settled();
      await desk.close();
    }
    expect(Object.fromEntries(unloaded.totals())).toEqual({ failed: 1 });
    expect(unread.totals().size).toBe(0);
    expect(told).toEqual([new Error('gone'), new Error('gone')]);
  });

  it('that was revoked itself would deny everything', async () => {
    const { hash } = await stage({ cedar: cedarOf('report', '') });
    await host.run();
    expect(await report()).toMatchObject({ same: 1, deniedThen: 0 });
    const revoked = { kind: 'policy', id: hash, reason: 'not this one' };
    expect((await world.operate('POST', '/v1/revocations', revoked)).status).toBe(201);
    await host.run();
    expect(await report()).toMatchObject({
      ...{ digest: hash, same: 1, deniedThen: 1, failed: 0 },
      checks: [{ result: 'denied-then', check: 'dependency-revoked', count: 1 }],
    });
  });

  it('is shown to operators only, and counted', async () => {
    const answer = await world.verifier.call({ url: '/v1/policy/staged', tls: host.tls });
    expect(answer.status).toBe(403);
    const { text } = await world.operate('GET', '/metrics');
    expect(text).toMatch(/sealgate_staged_decisions\{result="denied-then"\} 6\n/);
    expect(text).toMatch(/sealgate_staged_decisions\{result="failed"\} 1\n/);
  });

  it('is forgotten when it is published, and then decides', async () => {
    const bundle = await stage({ cedar: cedarOf('report', '&& context.request.uid == 0') });
    await host.run();
    expect(await report()).toMatchObject({ deniedThen: 1 });
    await world.publishStaged(bundle);
    expect(await report()).toBeNull();
    expect((await host.ask()).json).toMatchObject({ check: 'policy-denied' });
    expect(await report()).toBeNull();
  });
});
