import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HolderBinding } from '../../src/authorization/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import type { Answer } from '../support/verifier.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DecisionHost, DecisionWorld, claimsOf } from '../server/decision-world.ts';
import type { Allowed, AskOptions } from '../server/decision-world.ts';

vi.setConfig({ testTimeout: 60_000 });

// Executions that start executions, over HTTPS, by two hosts with emulated TPMs. Whoever attacks here has an enrolled
// host: everything is tried that such a host could send.
let world: DecisionWorld;
let home: DecisionHost;
let away: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish({ executionsPerHost: 200 });
  home = await DecisionHost.enroll(world, 'host-a');
  away = await DecisionHost.enroll(world, 'host-b');
}, 180_000);
afterAll(async () => {
  await home.close();
  await away.close();
  await world.verifier.server.stop();
});

const tokenOf = ({ answer }: Pick<Allowed, 'answer'>): string => String(answer['authorization']);
const ec = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** Asks again where an ancestor or its host moved meanwhile, as a gateway does. */
async function ask(host: DecisionHost, options: AskOptions): Promise<Answer> {
  for (;;) {
    const answer = await host.ask(options);
    if (answer.json['check'] !== 'state-moved') return answer;
  }
}

/** Refused with this check, as a leaf of the log. */
async function expectDenied(answer: Promise<Answer>, check: string): Promise<void> {
  const { json, status } = await answer;
  expect(json, JSON.stringify(json)).toMatchObject({ check });
  expect(status).toBeGreaterThanOrEqual(400);
  expect(json['auditIndex']).toMatch(/^\d+$/);
  expect(await world.leaf(json['auditIndex'])).toMatchObject({ kind: 'decision', outcome: 'deny' });
}

describe('a child', () => {
  it('gets less than its parent, on the same host and on another, under the same origin', async () => {
    const parent = await home.run({ request: { scopes: ['reports.*'], credentials: ['workload'] } });
    const before = claimsOf(tokenOf(parent));
    for (const host of [home, away]) {
      const child = await host.run({ under: parent, request: { scopes: ['reports.read'], credentials: [] } });
      const claims = claimsOf(tokenOf(child));
      expect(claims).toMatchObject({
        sub: before.sub,
        txn: before.txn,
        del_depth: 1,
        act: { sub: before.client_id },
      });
      expect(claims.exp).toBeLessThanOrEqual(before.exp);
      expect(claims.authorization_details[0]).toMatchObject({ host: host.hostId, scopes: ['reports.read'] });
      const leaf = Buffer.from(String(child.answer['leaf']), 'base64url').toString();
      expect(JSON.parse(leaf)).toMatchObject({ outcome: 'allow', parent: before.client_id });
    }
  });

  it('may ask for no scope at all', async () => {
    const parent = await home.run();
    const child = await away.run({ under: parent, request: { scopes: [], credentials: [] } });
    expect(claimsOf(tokenOf(child)).authorization_details[0].scopes).toEqual([]);
    // Which then has nothing to hand on, not even the right to start others.
    for (const scopes of [['reports.read'], []])
      await expectDenied(ask(home, { under: child, request: { scopes, credentials: [] } }), 'parent-scopes');
  });
});

describe('a stolen authorization', () => {
  it('is worth nothing on another host, with another key, or without a proof', async () => {
    const parent = await home.run();
    const stolen = { answer: parent.answer, workload: ec() };
    await expectDenied(ask(away, { under: stolen }), 'holder_binding_failed');
    const unproven = (made: JsonObject) => ({
      ...made,
      proofs: { ...(made['proofs'] as JsonObject), parent: null },
    });
    expect((await ask(away, { under: parent, body: unproven })).json).toMatchObject({
      check: 'request-form',
    });
    // Nor does it speak for the execution that it is of: only its host may, by its key.
    const { executionId } = parent.request;
    expect((await away.report(executionId, 'ended', parent.workload)).json).toMatchObject({
      check: 'caller-host',
    });
    expect((await home.report(executionId, 'ended', ec())).json).toMatchObject({
      check: 'holder_binding_failed',
    });
  });

  it('is worth nothing with a proof that was made for another request', async () => {
    const parent = await home.run();
    let first: string | undefined;
    const keep = (made: JsonObject) => {
      first = String((made['proofs'] as Record<string, unknown>)['parent']);
      return made;
    };
    expect((await ask(home, { under: parent, body: keep })).status).toBe(201);
    const replay = (made: JsonObject) => ({
      ...made,
      proofs: { ...(made['proofs'] as JsonObject), parent: first ?? '' },
    });
    await expectDenied(ask(away, { under: parent, body: replay }), 'holder_binding_failed');
    const otherDomain = (binding: HolderBinding) => ({ ...binding, audience: 'elsewhere.org' });
    await expectDenied(ask(away, { under: parent, parentBinding: otherDomain }), 'holder_binding_failed');
  });

  it('is worth nothing when its time is over', async () => {
    await world.publish({ executionsPerHost: 200, authorizationLifetime: 2 });
    const parent = await home.run();
    await world.publish({ executionsPerHost: 200 });
    await sleep(2100);
    await expectDenied(ask(away, { under: parent }), 'expired');
  });
});

describe('a widened child', () => {
  it.each<[string, string, AskOptions['request']]>([
    ['another scope', 'scope_not_granted', { scopes: ['reports.write'] }],
    ['a scope above it', 'scope_not_granted', { scopes: ['reports.*'] }],
    ['everything', 'scope_not_granted', { scopes: ['reports.read', 'admin.*'] }],
    ['a credential that its parent does not have', 'not_narrower', { credentials: ['database'] }],
  ])('is refused: %s', async (_what, check, request) => {
    const parent = await home.run();
    await expectDenied(ask(away, { under: parent, request: request ?? {} }), check);
  });

  it('is refused below the depth that policy allows', async () => {
    await world.publish({ executionsPerHost: 200, maxChildren: 50 });
    const root = await home.run();
    const child = await away.run({ under: root });
    const grandchild = await home.run({ under: child });
    expect(claimsOf(tokenOf(grandchild)).del_depth).toBe(2);
    await expectDenied(ask(away, { under: grandchild }), 'depth_invalid');
  });

  it('lives no longer than its parent, and no longer than the chain', async () => {
    await world.publish({ executionsPerHost: 200, maxChildren: 50, authorizationLifetime: 30 });
    const parent = await home.run();
    await world.publish({ executionsPerHost: 200, maxChildren: 50 });
    const child = await away.run({ under: parent });
    expect(claimsOf(tokenOf(child)).exp).toBe(claimsOf(tokenOf(parent)).exp);
  });
});

describe('a parent', () => {
  it('that ended, was revoked, or whose host is quarantined has no children', async () => {
    const ended = await home.run();
    const { executionId } = ended.request;
    const orphan = await away.run({ under: ended });
    await home.report(executionId, 'started', ended.workload);
    expect((await home.report(executionId, 'ended', ended.workload, { status: 0 })).status).toBe(200);
    const { json } = await world.operate('GET', `/v1/executions/${orphan.request.executionId}`);
    expect(json).toMatchObject({ state: 'revoked', reason: 'what started it has ended' });
    await expectDenied(ask(away, { under: ended }), 'revoked');

    const revoked = await home.run();
    const below = await away.run({ under: revoked });
    const subject = { kind: 'execution', id: revoked.request.executionId, reason: 'test' };
    expect((await world.operate('POST', '/v1/revocations', subject)).status).toBeLessThan(300);
    await expectDenied(ask(away, { under: revoked }), 'revoked');
    await expectDenied(ask(home, { under: below }), 'revoked');

    const standing = await away.run();
    const change = (to: string) =>
      world.operate('POST', `/v1/hosts/${away.hostId}/${to}`, { reason: 'test' });
    expect((await change('quarantine')).status).toBe(200);
    await expectDenied(ask(home, { under: standing }), 'parent-state');
    expect((await change('restore')).status).toBe(200);
  });

  it('is the one that proves itself: chains don’t merge', async () => {
    const [one, two] = [await home.run(), await away.run()];
    await expectDenied(
      ask(home, { under: { answer: one.answer, workload: two.workload } }),
      'holder_binding_failed',
    );
    // A token of one lineage that names an execution of the other: no record has such a chain.
    const [header, payload, signature] = tokenOf(one).split('.');
    const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as object;
    const altered = Buffer.from(
      JSON.stringify({ ...claims, client_id: two.request.executionId, cnf: claimsOf(tokenOf(two)).cnf }),
    ).toString('base64url');
    const merged = { authorization: [header, altered, signature].join('.') };
    await expectDenied(ask(away, { under: { answer: merged, workload: two.workload } }), 'parent-state');
  });

  it('is named by its current authorization: one that was renewed is not its parent of before', async () => {
    const parent = await home.run();
    const { session, nonceTpm } = await home.session();
    const live = [{ token: tokenOf(parent), sequence: 0, workload: parent.workload }];
    const { body } = await home.prepareAttestation(live, nonceTpm);
    const answer = await home.attest(body);
    await session.flush();
    expect(answer.status, answer.text).toBe(200);
    await expectDenied(ask(away, { under: parent }), 'parent-state');
    const [renewed] = answer.json['authorizations'] as readonly string[];
    const current = { answer: { authorization: renewed ?? '' }, workload: parent.workload };
    expect((await ask(away, { under: current })).status).toBe(201);
  });
});

describe('what policy says to relying parties', () => {
  const orders = 'https://orders.example.org';
  const mail = 'https://mail.example.org';
  const other = 'https://other.example.org';
  const limits = ({ authorization_details: [{ constraints }] }: ReturnType<typeof claimsOf>) => ({
    audiences: constraints.audiences,
    uses: constraints.uses,
  });

  it('is in the authorization, and narrower with each hop, whatever policy says by then', async () => {
    const at = { executionsPerHost: 200 };
    await world.publish({
      ...at,
      presentation: {
        ...{ audiences: [orders, mail], uses: 10 },
        artifacts: { report: { audiences: [mail, orders, other], uses: 12 }, else: { audiences: [] } },
      },
    });
    const root = await home.run();
    expect(limits(claimsOf(tokenOf(root)))).toEqual({ audiences: [orders, mail], uses: 10 });
    await world.publish({ ...at, presentation: { artifacts: { report: { audiences: [other, mail] } } } });
    const child = await away.run({ under: root });
    expect(limits(claimsOf(tokenOf(child)))).toEqual({ audiences: [mail], uses: 10 });
    // A token that names an audience outside is not made for it either.
    await expectDenied(ask(home, { request: { credentials: ['token'] } }), 'credential-audience');
  }, 180_000);
});

describe('a budget', () => {
  it('of children is spent to its last unit and not further, raced from two sides', async () => {
    await world.publish({ executionsPerHost: 200, maxChildren: 3 });
    for (let round = 0; round < 2; round++) {
      const parent = await home.run();
      const race = async (host: DecisionHost) => {
        const answers: Answer[] = [];
        for (let i = 0; i < 3; i++) answers.push(await ask(host, { under: parent }));
        return answers;
      };
      const answers = (await Promise.all([race(home), race(away)])).flat();
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
      const denied = answers.filter(({ status }) => status !== 201);
      expect(denied.map(({ json }) => json['check'])).toEqual([
        'budget-spent',
        'budget-spent',
        'budget-spent',
      ]);
    }
  });

  it('counts every descendant on the account of each ancestor, and what has ended too', async () => {
    await world.publish({ executionsPerHost: 200, maxChildren: 2 });
    const root = await home.run();
    const child = await away.run({ under: root });
    const grandchild = await home.run({ under: child });
    await expectDenied(ask(home, { under: root }), 'budget-spent');
    const { executionId } = grandchild.request;
    await home.report(executionId, 'started', grandchild.workload);
    expect((await home.report(executionId, 'ended', grandchild.workload, { status: 0 })).status).toBe(200);
    await expectDenied(ask(away, { under: root }), 'budget-spent');
    // The child's own budget has one left, the root's has none: nothing passes.
    await expectDenied(ask(away, { under: child }), 'budget-spent');
  });

  it('is not touched by what is denied; a host’s executions come back when they end', async () => {
    await world.publish({ executionsPerHost: 200, maxChildren: 1 });
    const root = await home.run();
    await expectDenied(ask(away, { under: root, request: { credentials: ['database'] } }), 'not_narrower');
    await expectDenied(ask(away, { under: root, request: { scopes: ['x'] } }), 'scope_not_granted');
    // Denied for the host's number of executions: that debits no ancestor either.
    const listed = (await world.operate('GET', `/v1/executions?host=${away.hostId}`)).json['executions'];
    const alive = (listed as readonly { state: string }[]).filter(({ state }) =>
      ['issued', 'running'].includes(state),
    ).length;
    await world.publish({ executionsPerHost: alive + 1, maxChildren: 1 });
    const last = await away.run();
    await expectDenied(ask(away, { under: root }), 'host-executions');
    const { executionId } = last.request;
    await away.report(executionId, 'started', last.workload);
    expect((await away.report(executionId, 'ended', last.workload, { status: 0 })).status).toBe(200);
    expect((await ask(away, { under: root })).status).toBe(201);
    await world.publish({ executionsPerHost: 200, maxChildren: 1 });
    await expectDenied(ask(home, { under: root }), 'budget-spent');
  });
});
