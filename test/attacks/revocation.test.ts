import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Change, Ledger } from '../../src/audit/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { decideAttestation, decideExecution } from '../../src/lifecycle/index.ts';
import type { Caller } from '../../src/lifecycle/index.ts';
import { openEvents } from '../support/event-stream.ts';
import type { Event, OpenStream } from '../support/event-stream.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { operatorTls } from '../support/verifier.ts';
import { DecisionHost, DecisionWorld, claimsOf } from '../server/decision-world.ts';
import type { Allowed } from '../server/decision-world.ts';

// Emulated TPMs answer slowly on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

// PROTOCOL 6 and 12, what is pushed: over HTTPS, with two hosts on emulated TPMs.
let world: DecisionWorld;
let host: DecisionHost;
let other: DecisionHost;
beforeAll(async () => {
  world = await DecisionWorld.open(path.join(temporaryDirectory(), 'v'));
  await world.publish();
  host = await DecisionHost.enroll(world, 'host-a');
  other = await DecisionHost.enroll(world, 'host-b');
}, 120_000);
afterAll(async () => {
  await host.close();
  await other.close();
  await world.verifier.server.stop();
});

const opened: OpenStream[] = [];
/** Waits until the stream named an execution; gives its event. */
async function told(stream: OpenStream, executionId: string): Promise<Event> {
  return await vi.waitFor(
    () => {
      const found = stream.events.find(({ data }) => (data['executions'] as string[]).includes(executionId));
      if (found === undefined) throw new Error(`nothing of ${executionId}`);
      return found;
    },
    { timeout: 20_000 },
  );
}
/** The host's own stream. */
async function listen(of: DecisionHost, lastEventId?: string): Promise<OpenStream> {
  const answer = await openEvents(world.verifier, of.hostId, of.tls, lastEventId);
  if (!('stream' in answer)) throw new Error(JSON.stringify(answer.problem));
  opened.push(answer.stream);
  return answer.stream;
}
afterAll(() => {
  for (const stream of opened) stream.close();
});

const revoke = async (kind: string, id: string, reason = 'a test') =>
  await world.operate('POST', '/v1/revocations', { kind, id, reason });
const idOf = ({ request }: Allowed): string => request.executionId;
const shownOf = async (executionId: string) =>
  (await world.operate('GET', `/v1/executions/${executionId}`)).json;
const liveOf = ({ answer, workload }: Allowed, sequence = 0) => ({
  token: String(answer['authorization']),
  sequence,
  workload,
});
const named = (events: readonly Event[]) => events.flatMap(({ data }) => data['executions'] as string[]);
const callerOf = ({ hostId }: DecisionHost, agentKey: string): Caller => ({
  ...{ hostId, agentKey },
  notAfter: Date.now() + 86_400_000,
});

/** Commits, but only after something else was done. */
const after = (first: () => Promise<unknown>): Ledger => ({
  commit: async (change: Change) => {
    await first();
    return await world.verifier.server.services.ledger.commit(change);
  },
});

describe('what is revoked is pushed', () => {
  it('to the host that runs it, after its commit, with the index of a leaf that is there', async () => {
    const [run, kept] = [await host.run(), await host.run()];
    const stream = await listen(host);
    const answer = await revoke('execution', idOf(run), 'wrong input');
    const [event] = await stream.until(1);
    expect(event).toEqual({
      ...{ id: answer.json['auditIndex'], event: 'revoked' },
      data: { v: 1, executions: [idOf(run)], kind: 'execution', id: idOf(run), reason: 'wrong input' },
    });
    expect(await world.leaf(event?.id)).toMatchObject({ kind: 'revocation', reason: 'wrong input' });
    expect(answer.json).toMatchObject({ ended: 1, hosts: [host.hostId] });
    expect(await shownOf(idOf(kept))).toMatchObject({ state: 'issued' });
    expect(stream.events).toHaveLength(1);
  });

  it('with everything below, on all hosts; nothing below is renewed or started from then on', async () => {
    const root = await host.run();
    const child = await other.run({ under: root });
    const grandchild = await host.run({ under: child });
    const [here, there] = [await listen(host), await listen(other)];
    const answer = await revoke('execution', idOf(root));
    expect(answer.json).toMatchObject({ ended: 3, hosts: [host.hostId, other.hostId].sort() });
    expect((await told(here, idOf(root))).id).toBe(answer.json['auditIndex']);
    await told(here, idOf(grandchild));
    const below = await told(there, idOf(child));
    for (const one of [root, child, grandchild])
      expect(await shownOf(idOf(one))).toMatchObject({ state: 'revoked', reason: 'a test' });
    // The log says of each of them that it was ended, and why.
    expect(await world.leaf(below.id)).toMatchObject({
      ...{ kind: 'outcome', executionId: idOf(child), state: 'revoked', reportedBy: 'verifier' },
      reason: 'a test',
    });
    const { session, nonceTpm } = await other.session();
    const { body } = await other.prepareAttestation([liveOf(child)], nonceTpm);
    expect((await other.attest(body)).json).toMatchObject({
      authorizations: [],
      ended: [{ denial: { check: 'execution-ended' } }],
    });
    await session.flush();
    const late = await other.ask({ under: grandchild });
    expect(late.json['code']).toMatch(/revoked-authorization|expired-authorization|invalid-verification/);
  });

  it.each([
    ['artifact', (run: Allowed) => run.request.artifact.digest],
    ['signer', (run: Allowed) => claimsOf(String(run.answer['authorization'])).attr.signers[0] ?? ''],
    ['policy', (run: Allowed) => run.request.policyHash],
  ] as const)('of the kind %s: what rests on it ends', async (kind, of) => {
    const [run, foreign] = [await host.run({ content: kind }), await other.run({ content: `${kind}, too` })];
    const stream = await listen(host);
    // Signers and policies are those of every execution here: new ones take their places afterwards.
    const answer = await revoke(kind, of(run));
    expect(answer.status).toBe(201);
    expect((await told(stream, idOf(run))).data).toMatchObject({ kind, id: of(run) });
    expect((await shownOf(idOf(run)))['state']).toBe('revoked');
    expect((await shownOf(idOf(foreign)))['state']).toBe(kind === 'artifact' ? 'issued' : 'revoked');
    if (kind === 'signer') await world.anotherSigner();
    if (kind === 'policy') await world.publish();
  });
});

describe('an event stream', () => {
  it('of another host, or by an operator’s certificate, is refused', async () => {
    const foreign = await openEvents(world.verifier, other.hostId, host.tls);
    expect(foreign).toMatchObject({ status: 403, problem: { check: 'caller-host' } });
    const operator = await openEvents(world.verifier, host.hostId, operatorTls(world.directory));
    expect(operator).toMatchObject({ status: 403, problem: { check: 'x509-untrusted' } });
    expect(await openEvents(world.verifier, host.hostId, {})).toMatchObject({
      problem: { check: 'caller-certificate' },
    });
  });

  it('is one for each host: the newest', async () => {
    const first = await listen(host);
    const second = await listen(host);
    await vi.waitFor(() => {
      expect(first.ended()).toBe(true);
    });
    expect(second.ended()).toBe(false);
    const { events } = world.verifier.server.services;
    const before = events.size;
    second.close();
    await vi.waitFor(() => {
      expect(events.size).toBe(before - 1);
    });
  });

  it('goes on after the last event that was seen: nothing is lost, and an index of the future hides nothing', async () => {
    const [one, two] = [await host.run(), await host.run()];
    await revoke('execution', idOf(one));
    const { json } = await revoke('execution', idOf(two));
    const all = await listen(host);
    const { id } = await told(all, idOf(one));
    expect(BigInt((await told(all, idOf(two))).id ?? 0)).toBeGreaterThan(BigInt(id ?? 0));
    const later = await listen(host, id);
    expect(named(await later.until(1))).toEqual([idOf(two)]);
    const future = await listen(host, '999999999999');
    await told(future, idOf(one));
    await told(future, idOf(two));
    const bad = await openEvents(world.verifier, host.hostId, host.tls, '-1');
    expect(bad).toMatchObject({ status: 400, problem: { check: 'request-form' } });
    // What the host has said that it ended is not told again.
    await host.report(idOf(one), 'ended', one.workload, { signal: 'SIGTERM' });
    const after = await listen(host);
    const third = await host.run();
    await revoke('execution', idOf(third));
    await told(after, idOf(third));
    expect(named(after.events)).not.toContain(idOf(one));
    expect(json['state']).toBe('revoked');
  });

  it('tells after a restart of the verifier what was revoked before', async () => {
    const run = await other.run();
    await revoke('execution', idOf(run));
    await world.restart();
    const stream = await listen(other);
    expect((await told(stream, idOf(run))).data['reason']).toBe('a test');
  });
});

describe('revoked between evaluation and commit', () => {
  it('an execution is denied', async () => {
    const { decisions } = world.verifier.server.services;
    const { session, nonceTpm } = await host.session();
    const { body, request } = await host.prepare(nonceTpm, { content: 'in between' });
    const facts = await decisions.hosts.get(host.hostId);
    const decided = await decideExecution(
      body,
      callerOf(host, facts?.agentKey ?? ''),
      decisions,
      after(() => revoke('artifact', request.artifact.digest)),
    );
    expect(decided).toMatchObject({ outcome: 'deny', denial: { check: 'revoked-meanwhile' } });
    await session.flush();
  });

  it('a renewal is denied, and one of below a revoked execution, too', async () => {
    const { decisions } = world.verifier.server.services;
    const facts = await decisions.hosts.get(other.hostId);
    const root = await host.run();
    const child = await other.run({ under: root });
    const { session, nonceTpm } = await other.session();
    const { body } = await other.prepareAttestation([liveOf(child)], nonceTpm);
    const decided = await decideAttestation(
      body as unknown as JsonObject,
      other.hostId,
      callerOf(other, facts?.agentKey ?? ''),
      decisions,
      after(() => revoke('execution', idOf(root))),
    );
    expect(decided.outcome).toBe('deny');
    expect((await shownOf(idOf(child)))['state']).toBe('revoked');
    await session.flush();
  });
});

describe('a secret that is rotated or removed between evaluation and commit', () => {
  const credentials = ['database'];
  const put = async (value: string) =>
    await world.operate('POST', '/v1/secrets', { name: 'database-password', value });
  const remove = async () => await world.operate('POST', '/v1/secrets/database-password/remove', {});
  const moved = {
    outcome: 'deny',
    denial: { check: 'state-moved', reason: expect.stringContaining('secret') as string },
  };

  it.each([
    ['rotated', async () => await put('AAAB')],
    ['removed', remove],
  ])('is released to no execution: %s', async (_name, first) => {
    expect((await put('AAAA')).status).toBe(201);
    const { decisions } = world.verifier.server.services;
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepare(nonceTpm, { request: { credentials } });
    const facts = await decisions.hosts.get(host.hostId);
    const decided = await decideExecution(
      body,
      callerOf(host, facts?.agentKey ?? ''),
      decisions,
      after(first),
    );
    expect(decided).toMatchObject(moved);
    await session.flush();
  });

  it('is renewed for none, and what was not touched is', async () => {
    expect((await put('AAAA')).status).toBe(201);
    const { decisions } = world.verifier.server.services;
    const run = await host.run({ request: { credentials } });
    const facts = await decisions.hosts.get(host.hostId);
    const renew = async (first: () => Promise<unknown>) => {
      const { session, nonceTpm } = await host.session();
      const { body } = await host.prepareAttestation([liveOf(run)], nonceTpm);
      const caller = callerOf(host, facts?.agentKey ?? '');
      const { hostId } = host;
      const asked = body as unknown as JsonObject;
      const decided = await decideAttestation(asked, hostId, caller, decisions, after(first));
      await session.flush();
      return decided;
    };
    expect(await renew(async () => await put('AAAB'))).toMatchObject(moved);
    expect((await shownOf(idOf(run)))['state']).toBe('issued');
    const other = async () => await world.operate('POST', '/v1/secrets', { name: 'another', value: 'AAAA' });
    expect(await renew(other)).toMatchObject({ outcome: 'allow' });
  });
});

describe('a host attestation', () => {
  it('that is replayed renews nothing and ends nothing', async () => {
    const run = await host.run();
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([liveOf(run)], nonceTpm);
    expect((await host.attest(body)).status).toBe(200);
    expect((await host.attest(body)).json).toMatchObject({ code: 'replay-detected' });
    expect((await shownOf(idOf(run)))['state']).toBe('issued');
    await session.flush();
  });

  it('that denies an execution goes on with nothing below it, on no host', async () => {
    const root = await host.run();
    const [here, there] = [await host.run({ under: root }), await other.run({ under: root })];
    const foreign = await other.run();
    const { session, nonceTpm } = await host.session();
    // The root is shown with a key that isn't its own; what is below it, and another host's execution, as they should be.
    const stolen = { ...liveOf(root), workload: here.workload };
    const { body } = await host.prepareAttestation([liveOf(here), stolen, liveOf(foreign)], nonceTpm);
    const { json } = await host.attest(body);
    expect(json).toMatchObject({ authorizations: [], deferred: [], sealed: null });
    const ended = json['ended'] as { executionId: string; denial: { check: string } }[];
    expect(new Map(ended.map(({ executionId, denial }) => [executionId, denial.check]))).toEqual(
      new Map([
        [idOf(root), 'holder_binding_failed'],
        [idOf(here), 'parent-state'],
        [idOf(foreign), 'execution-unknown'],
      ]),
    );
    for (const one of [root, here, there]) expect((await shownOf(idOf(one)))['state']).toBe('revoked');
    expect((await shownOf(idOf(foreign)))['state']).toBe('issued');
    await session.flush();
  });

  it('of a changed host ends what runs there and below, and says so; quarantine takes what is below, too', async () => {
    const run = await host.run();
    const child = await other.run({ under: run });
    await world.operate('POST', `/v1/hosts/${host.hostId}/quarantine`, { reason: 'a look' });
    for (const one of [run, child]) expect((await shownOf(idOf(one)))['state']).toBe('revoked');
    await world.operate('POST', `/v1/hosts/${host.hostId}/restore`, { reason: 'fine' });
    const next = await host.run();
    const below = await other.run({ under: next });
    const stream = await listen(host);
    await host.tpm.pcrExtend(0, { sha256: new Uint8Array(32).fill(9) });
    const { session, nonceTpm } = await host.session();
    const { body } = await host.prepareAttestation([liveOf(next)], nonceTpm);
    const refused = await host.attest(body);
    expect(refused.json).toMatchObject({ check: 'pcr-value' });
    const event = await told(stream, idOf(next));
    expect(event.data).toMatchObject({ kind: 'host', id: host.hostId, reason: 'pcr-value' });
    expect(await world.leaf(event.id)).toMatchObject({ kind: 'outcome', reason: 'pcr-value' });
    for (const one of [next, below]) expect((await shownOf(idOf(one)))['state']).toBe('revoked');
    await session.flush();
  });
});
