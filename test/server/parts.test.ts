import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { noteSigner } from '../../src/audit/index.ts';
import type { Change, Ledger } from '../../src/audit/index.ts';
import { toHex } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { HOST_EXECUTIONS, executionBody } from '../../src/lifecycle/index.ts';
import type { ExecutionRecord } from '../../src/lifecycle/index.ts';
import { Chores } from '../../src/server/chores.ts';
import { DenialTally } from '../../src/server/denial-tally.ts';
import { LiveExecutions } from '../../src/server/live-executions.ts';
import { LogClock } from '../../src/server/log-clock.ts';
import { nonceReservations } from '../../src/server/nonce-reservations.ts';
import { problemOf } from '../../src/server/problem.ts';
import { openSqlite, openStore } from '../../src/store/index.ts';
import { Refusal } from '../../src/base/index.ts';

const START = Date.UTC(2026, 10, 23);
const plain = { preconditions: [], once: [], writes: [], bodies: [] };
const opening: Change = {
  leaf: { v: 1, kind: 'opening', origin: 'log.example.org', previous: null },
  ...plain,
};

/** An authorization as a record keeps it; its signature is looked at by nobody there. */
function tokenOf(): string {
  const claims: JsonObject = {
    ...{
      iss: 'https://example.org',
      sub: 'host',
      aud: 'host',
      iat: 1,
      nbf: 1,
      exp: 2,
      jti: 'j',
      client_id: 'c',
    },
    ...{
      txn: 'c',
      cnf: { jkt: 'A'.repeat(43) },
      eat_nonce: 'n',
      del_depth: 0,
      del_max_depth: 0,
      evidence: [],
    },
    authorization_details: [
      {
        ...{ type: 'sealgate_execution', actions: ['execute'], scopes: [], constraints: {} },
        ...{ artifact: `sha256:${'1'.repeat(64)}`, host: 'a'.repeat(64) },
      },
    ],
    status: { status_list: { idx: 1, uri: 'https://example.org/status' } },
    policy: { uri: 'https://example.org/policy', digest: `sha256:${'2'.repeat(64)}`, ids: ['run'] },
    ...{ gov: { trust_domain: 'example.org', authorities: ['authority'] }, attr: { signers: ['signer'] } },
  };
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.AA`;
}

/** A store whose clock the test moves. */
async function makeStore() {
  const at = { time: START };
  const signer = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
  const keys = { signer, macKey: new Uint8Array(32).fill(1) };
  const store = await openStore(openSqlite(':memory:'), keys, { now: () => at.time }, 'epoch-1');
  const ledger = { commit: async (change: Change) => (await store.commit([change]))[0] ?? { ok: false } };
  const leaves = async (): Promise<JsonObject[]> =>
    (await store.leaves(0, 100)).map((leaf) => JSON.parse(Buffer.from(leaf).toString()) as JsonObject);
  return { store, ledger, at, leaves };
}

describe('time', () => {
  it('is never before the newest leaf, also after a restart with a clock that was set back', async () => {
    const { store, at } = await makeStore();
    const clock = new LogClock({ now: () => at.time });
    await clock.load(store);
    expect([clock.now(), clock.newestLeaf]).toEqual([START, 0]);
    at.time += 3_600_000;
    clock.committed(await store.commit([opening]));
    at.time = START;
    expect(clock.now()).toBe(START + 3_600_000);
    const again = new LogClock({ now: () => at.time });
    await again.load(store);
    expect(again.now()).toBe(START + 3_600_000);
    at.time = START + 7_200_000;
    expect(again.now()).toBe(START + 7_200_000);
    await store.close();
  });
});

describe('refusals without a leaf', () => {
  it('are counted and become one leaf; a log that fails loses none', async () => {
    const { store, ledger, leaves } = await makeStore();
    const tally = new DenialTally(START);
    await tally.write(ledger, START + 60_000);
    expect(await leaves()).toEqual([]);
    const refused = problemOf(new Refusal('caller-certificate', 'none'), 'id');
    tally.count(refused);
    tally.count(refused);
    tally.count({ ...refused, body: { ...refused.body, auditIndex: '1' } });
    tally.count(problemOf(Object.assign(new Error('gone'), { statusCode: 404 }), 'id'));
    const broken = { commit: () => Promise.reject(new Error('disk full')) };
    await expect(tally.write(broken, START + 90_000)).rejects.toThrow('disk full');
    await tally.write(ledger, START + 120_000);
    await tally.write(ledger, START + 180_000);
    expect(await leaves()).toMatchObject([
      {
        kind: 'denial-summary',
        from: new Date(START + 60_000).toISOString(),
        to: new Date(START + 120_000).toISOString(),
        counts: [{ stage: 'identity', code: 'missing-authorization', check: 'caller-certificate', count: 2 }],
      },
    ]);
    await store.close();
  });
});

describe('nonces that are being decided', () => {
  it('are taken once until they end, within a bound', () => {
    let now = START;
    const nonces = nonceReservations({ now: () => now }, 2);
    expect(nonces.has('a')).toBe(false);
    expect(nonces.reserve('a', START + 60_000)).toBe(true);
    expect([nonces.has('a'), nonces.reserve('a', START + 60_000)]).toEqual([true, false]);
    expect(nonces.reserve('b', START + 60_000)).toBe(true);
    // No room: not remembered, and so decided by the ledger alone.
    expect([nonces.reserve('c', START + 60_000), nonces.has('c')]).toEqual([true, false]);
    now += 60_000;
    expect([nonces.has('a'), nonces.reserve('c', now + 60_000), nonces.has('c')]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('executions whose authorization ran out', () => {
  const record = (state: 'issued' | 'running' | 'ended', expires: number): ExecutionRecord => ({
    v: 1,
    state,
    hostId: 'a'.repeat(64),
    parent: null,
    root: 'r',
    depth: 0,
    jti: 'j',
    expires,
    started: START / 1000,
    chain: [tokenOf()],
    artifact: { name: 'report', digest: `sha256:${'1'.repeat(64)}` },
    workloadPublic: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) },
    workloadThumbprint: 'A'.repeat(43),
    ak: 'ab'.repeat(34),
    boot: { resetCount: 1, restartCount: 0 },
    ekRoot: null,
    policyHash: `sha256:${'2'.repeat(64)}`,
    requestDigest: '3'.repeat(64),
    credentials: [],
    sequence: 0,
    status: { idx: 1, uri: 'https://example.org/status' },
    request: '4'.repeat(64),
    initiator: null,
    executedDigest: null,
    exit: null,
    reason: null,
    revokedBy: null,
  });
  const id = (n: number) => `019a9e2c-7b1e-7c3d-8f20-${String(n).padStart(12, '0')}`;

  it('become lost or expired, once, and give their place on the host back', async () => {
    const { store, ledger, leaves } = await makeStore();
    const states = ['issued', 'running', 'ended', 'running'] as const;
    const writes = states.map((state, n) => ({
      kind: 'execution',
      id: id(n),
      body: executionBody(record(state, START / 1000 + (n === 3 ? 3600 : 60))),
    }));
    const take = { kind: HOST_EXECUTIONS, id: 'a'.repeat(64), add: 1 as const, limit: 2 };
    const budget = { ...take, check: 'host-executions' as const, reason: 'full' };
    await store.commit([
      { ...opening, writes, budgets: [budget] },
      { ...opening, budgets: [budget] },
    ]);
    const third = await ledger.commit({ ...opening, budgets: [budget] });
    expect(third).toMatchObject({ ok: false, denied: { check: 'host-executions' } });
    const live = new LiveExecutions(store);
    await live.load(START);
    const sequenced: Ledger = {
      commit: async (change) => {
        const committed = await ledger.commit(change);
        live.committed([change], [committed]);
        return committed;
      },
    };
    expect(live.size).toBe(3);
    expect(await live.sweep(START + 60_000, sequenced)).toBe(0);
    expect(await live.sweep(START + 180_000, sequenced)).toBe(2);
    expect(await live.sweep(START + 180_000, sequenced)).toBe(0);
    expect((await leaves()).filter(({ kind }) => kind === 'outcome')).toMatchObject([
      { executionId: id(0), state: 'expired', reportedBy: 'verifier' },
      { executionId: id(1), state: 'lost', reportedBy: 'verifier' },
    ]);
    expect((await store.get({ kind: HOST_EXECUTIONS, id: 'a'.repeat(64) }))?.body).toEqual({ used: 0 });
    expect(live.size).toBe(1);
    await store.close();
  });
});

describe('bodies', () => {
  it('are kept as long as the newest change that names them', async () => {
    const { store } = await makeStore();
    const sha256 = toHex(new Uint8Array(32));
    const body = (keepUntil: number): Change => ({
      ...opening,
      bodies: [{ sha256, data: new Uint8Array([1]), keepUntil }],
    });
    await store.commit([body(START + 10), body(START + 1000), body(START + 5)]);
    await store.forget(START + 500);
    expect(await store.body(sha256)).toBeDefined();
    await store.forget(START + 1001);
    expect(await store.body(sha256)).toBeUndefined();
    await store.close();
  });
});

describe('chores', () => {
  it('run again and again, never beside themselves, and end before stop resolves', async () => {
    let running = 0;
    let most = 0;
    let ran = 0;
    const errors: unknown[] = [];
    const run = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 30));
      running--;
      if (++ran === 1) throw new Error('once');
    };
    const chores = new Chores([{ everyMs: 5, run }], (error) => errors.push(error));
    while (ran < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await chores.stop();
    expect([running, most, errors.length]).toEqual([0, 1, 1]);
    const after = ran;
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(ran).toBe(after);
  });
});
