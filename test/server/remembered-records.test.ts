import { describe, expect, it } from 'vitest';
import { generateKeyPairSync } from 'node:crypto';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import type { Change } from '../../src/audit/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { openSqlite, openStore } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';
import { rememberRecords } from '../../src/server/remembered-records.ts';

const HOST = { kind: 'host', id: 'a' };
const change = (body: JsonObject, more: Partial<Change> = {}): Change => ({
  ...{ leaf: { kind: 'test' }, preconditions: [], once: [], bodies: [] },
  writes: [{ ...HOST, body }],
  ...more,
});

/** A real store that counts what it is asked, and whose commits can be held back. */
async function makeStore() {
  const signer = noteSigner('log.example.org', 'note', generateKeyPairSync('ed25519').privateKey);
  const keys = { signer, macKey: new Uint8Array(32).fill(9) };
  const real = await openStore(openSqlite(':memory:'), keys, { now: () => 1_000 }, 'epoch-1');
  const asked = { gets: 0, heads: 0 };
  let gate: Promise<void> = Promise.resolve();
  const counted: StoreOperations = {
    ...real,
    get: async (ref) => {
      asked.gets++;
      return await real.get(ref);
    },
    head: async () => {
      asked.heads++;
      return await real.head();
    },
    commit: async (changes) => {
      const committed = await real.commit(changes);
      await gate;
      return committed;
    },
  };
  const hold = (): (() => void) => {
    let release = (): void => undefined;
    gate = new Promise((resolve) => {
      release = resolve;
    });
    return () => {
      release();
    };
  };
  return { real, counted, asked, hold };
}

describe('records that are remembered', () => {
  it('asks once for what does not change, also for what is not there', async () => {
    const { counted, asked } = await makeStore();
    const store = rememberRecords(counted);
    await store.commit([change({ state: 'active' })]);
    for (let i = 0; i < 3; i++) {
      expect((await store.get(HOST))?.body).toEqual({ state: 'active' });
      expect(await store.get({ kind: 'revoked', id: 'host/a' })).toBeUndefined();
    }
    expect(asked.gets).toBe(2);
  });

  it('gives what a commit wrote, its version too', async () => {
    const { counted } = await makeStore();
    const store = rememberRecords(counted);
    await store.commit([change({ state: 'active' })]);
    await store.get(HOST);
    await store.commit([change({ state: 'revoked' })]);
    expect(await store.get(HOST)).toMatchObject({ version: 2, body: { state: 'revoked' } });
  });

  it('sees a revocation where it remembered that there is none', async () => {
    const { counted } = await makeStore();
    const store = rememberRecords(counted);
    const revoked = { kind: 'revoked', id: 'host/a' };
    expect(await store.get(revoked)).toBeUndefined();
    await store.commit([change({}, { writes: [{ ...revoked, body: { by: 'operator' } }] })]);
    expect((await store.get(revoked))?.body).toEqual({ by: 'operator' });
  });

  it('forgets counters and budgets, which a commit writes by itself', async () => {
    const { counted } = await makeStore();
    const store = rememberRecords(counted);
    const [counters, budget] = [
      { kind: 'counters', id: 'a' },
      { kind: 'budget', id: 'a' },
    ];
    expect([await store.get(counters), await store.get(budget)]).toEqual([undefined, undefined]);
    await store.commit([
      change(
        {},
        {
          counters: { ek: 'a', resetCount: 1, restartCount: 0, clock: '5', safe: true },
          budgets: [{ ...budget, add: 1, limit: 2, check: 'budget-spent', reason: 'spent' }],
        },
      ),
    ]);
    expect((await store.get(counters))?.body['clock']).toBe('5');
    expect((await store.get(budget))?.body).toEqual({ used: 1 });
  });

  it('does not remember what was read while a commit that writes it was under way', async () => {
    const { counted, hold } = await makeStore();
    const store = rememberRecords(counted);
    await store.commit([change({ state: 'active' })]);
    const early = store.get(HOST);
    const release = hold();
    const commit = store.commit([change({ state: 'revoked' })]);
    await early;
    await store.get(HOST);
    release();
    await commit;
    expect((await store.get(HOST))?.body).toEqual({ state: 'revoked' });
  });

  it('does not remember what was read before a commit and came after it', async () => {
    const { counted } = await makeStore();
    let release = (): void => undefined;
    let gate = Promise.resolve();
    const get: StoreOperations['get'] = async (ref) => {
      const record = await counted.get(ref);
      await gate;
      return record;
    };
    const store = rememberRecords({ ...counted, get });
    await store.commit([change({ state: 'active' })]);
    gate = new Promise((resolve) => (release = resolve));
    const early = store.get(HOST);
    await store.commit([change({ state: 'revoked' })]);
    release();
    expect((await early)?.body).toEqual({ state: 'active' });
    expect((await store.get(HOST))?.body).toEqual({ state: 'revoked' });
  });

  it('forgets after a commit whose outcome is unknown', async () => {
    const { real, counted } = await makeStore();
    const commit = async (changes: readonly Change[]) => {
      await real.commit(changes);
      throw new Error('the answer was lost');
    };
    await real.commit([change({ state: 'active' })]);
    const store = rememberRecords({ ...counted, commit });
    await store.get(HOST);
    await expect(store.commit([change({ state: 'revoked' })])).rejects.toThrow('lost');
    expect((await store.get(HOST))?.body).toEqual({ state: 'revoked' });
  });

  it('asks for the head after a commit whose outcome is unknown', async () => {
    const { real, counted } = await makeStore();
    let lost = false;
    const commit = async (changes: readonly Change[]) => {
      const committed = await real.commit(changes);
      return lost ? await Promise.reject(new Error('the answer was lost')) : committed;
    };
    const store = rememberRecords({ ...counted, commit });
    await store.commit([change({ state: 'active' })]);
    lost = true;
    await expect(store.commit([change({ state: 'revoked' })])).rejects.toThrow('lost');
    expect((await store.head())?.size).toBe('2');
  });

  it('asks again after a read that failed', async () => {
    const { counted } = await makeStore();
    let fails = true;
    const store = rememberRecords({
      ...counted,
      get: async (ref) => (fails ? await Promise.reject(new Error('no')) : await counted.get(ref)),
    });
    await expect(store.get(HOST)).rejects.toThrow('no');
    fails = false;
    expect(await store.get(HOST)).toBeUndefined();
  });

  it('lets nobody change what others read', async () => {
    const { counted } = await makeStore();
    const store = rememberRecords(counted);
    await store.commit([change({ labels: { env: 'test' } })]);
    await store.get(HOST);
    const labels = (await store.get(HOST))?.body['labels'] as Record<string, string>;
    expect(() => (labels['env'] = 'other')).toThrow(TypeError);
  });

  it('is bounded: the least used goes, and what is too large is not kept', async () => {
    const { counted, asked } = await makeStore();
    const store = rememberRecords(counted, 5 * (128 + 10));
    for (const id of ['one', 'two', 'three', 'four', 'five', 'six']) await store.get({ kind: 'kind', id });
    await store.get({ kind: 'kind', id: 'six' });
    expect(asked.gets).toBe(6);
    await store.get({ kind: 'kind', id: 'one' });
    expect(asked.gets).toBe(7);
    await store.commit([change({ text: 'x'.repeat(1000) })]);
    await store.get(HOST);
    await store.get(HOST);
    expect(asked.gets).toBe(9);
  });

  it('knows the head of the newest commit without asking', async () => {
    const { real, counted, asked } = await makeStore();
    const store = rememberRecords(counted);
    expect(await store.head()).toBeUndefined();
    await store.commit([change({ state: 'active' })]);
    expect(await store.head()).toEqual(await real.head());
    expect(asked.heads).toBe(1);
  });
});
