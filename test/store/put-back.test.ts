import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sql } from 'kysely';
import { afterAll, describe, expect, it } from 'vitest';
import { leafBody } from '../../src/audit/index.ts';
import type { Change } from '../../src/audit/ledger.ts';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { checkStore, migrate, openSqlite, openStore } from '../../src/store/index.ts';
import type { StoreFinding, StoreOperations } from '../../src/store/index.ts';

/** Rows that are put back to what they once were, with their MACs of then, or taken away: by SQL, beside the store. */

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-put-back-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const { privateKey } = generateKeyPairSync('ed25519');
const signer = noteSigner('log.example.org', 'note', privateKey);
const keys = { signer, macKey: new Uint8Array(32).fill(9) };
let files = 0;

const open = async (file: string): Promise<StoreOperations> =>
  await openStore(openSqlite(file), keys, { now: () => 1_800_000_000_000 }, 'epoch-1');

async function edit(file: string, ...statements: readonly string[]): Promise<void> {
  const db = openSqlite(file);
  for (const statement of statements) await sql.raw(statement).execute(db);
  await db.destroy();
}

const change = (rest: Partial<Change>): Change => ({
  leaf: leafBody({ v: 1, kind: 'opening', origin: 'log.example.org', previous: null }),
  preconditions: [],
  once: [],
  writes: [],
  bodies: [],
  ...rest,
});
const write = (kind: string, id: string, body: JsonObject): Change =>
  change({ writes: [{ kind, id, body }] });
const nonce = (id: string, expires = 2e12): Change =>
  change({ once: [{ kind: 'nonce', id, expires, check: 'replay-nonce', reason: 'used' }] });
const unit = (limit: number): Change =>
  change({
    budgets: [{ kind: 'budget', id: 'b', add: 1, limit, check: 'budget-spent', reason: 'nothing is left' }],
  });

/** A host that was active and then revoked, a budget that is spent, a nonce that was used. */
async function makeStore(): Promise<{ file: string; store: StoreOperations }> {
  const file = path.join(folder, `store-${files++}.db`);
  const store = await open(file);
  await store.commit([
    write('host', 'h', { state: 'active' }),
    write('host', 'other', { state: 'active' }),
    write('revoked', 'signer/s', {}),
    unit(2),
    nonce('n'),
  ]);
  await edit(
    file,
    'CREATE TABLE old AS SELECT * FROM records',
    'CREATE TABLE old_head AS SELECT * FROM head',
  );
  await store.commit([write('host', 'h', { state: 'revoked' }), unit(2)]);
  return { file, store };
}

const PUT_BACK = 'INSERT OR REPLACE INTO records SELECT * FROM old WHERE';
/** The tables that the tests copy old rows to are none of the store's. */
const edits: readonly (readonly [string, readonly string[], RegExp])[] = [
  [
    'a revoked host that is active again',
    [`${PUT_BACK} id = 'h'`],
    /host h is version 1, version 2 was written last/,
  ],
  [
    'a revocation that is gone',
    [`DELETE FROM records WHERE kind = 'revoked'`],
    /revoked signer\/s is missing/,
  ],
  ['a budget that was not spent', [`${PUT_BACK} kind = 'budget'`], /budget b is version 1, version 2/],
  ['a host that was never enrolled', [`DELETE FROM records WHERE id = 'h'`], /host h is missing, version 2/],
  ['a nonce that was not used', [`DELETE FROM once`], /ids that work once/],
  ['a nonce that ends earlier', [`UPDATE once SET expires = 5`], /ids that work once/],
];

async function findings(file: string): Promise<readonly StoreFinding[]> {
  const db = openSqlite(file);
  try {
    return (await checkStore(db, { macKey: keys.macKey, logKeys: [signer.key] })).findings;
  } finally {
    await db.destroy();
  }
}

describe('what is put back while the verifier is stopped', () => {
  it.each(edits)('%s: it doesn’t start, and store check says which', async (_name, statements, which) => {
    const { file, store } = await makeStore();
    await store.close();
    expect(await findings(file)).toEqual([]);
    await edit(file, ...statements);
    await expect(open(file)).rejects.toMatchObject({ check: 'record-stale' });
    const [first, ...more] = await findings(file);
    expect(first).toMatchObject({ check: 'record-stale', reason: expect.stringMatching(which) as string });
    expect(more).toEqual([]);
  });

  it.each([
    [
      'an older head',
      'UPDATE head SET size = o.size, time = o.time, checkpoint = o.checkpoint, chain = o.chain, records_mac = o.records_mac, once_mac = o.once_mac, mac = o.mac FROM old_head o',
      'record-stale',
    ],
    ['an older time', 'UPDATE head SET time = 5', 'store-head'],
    ['digests of an older head', 'UPDATE head SET records_mac = o.records_mac FROM old_head o', 'store-head'],
    ['another epoch', `UPDATE meta SET value = 'epoch-0' WHERE name = 'epoch'`, 'store-head'],
    ['no head', 'DELETE FROM head', 'store-head'],
    ['a head of before there were digests', 'UPDATE head SET mac = NULL, records_mac = NULL', 'store-head'],
  ])('%s: it doesn’t start', async (_name, statement, check) => {
    const { file, store } = await makeStore();
    await store.close();
    await edit(file, statement);
    await expect(open(file)).rejects.toMatchObject({ check });
    expect((await findings(file)).map((one) => one.check)).toContain(check);
  });

  it('the journal, so that nobody can say which row is old', async () => {
    const { file, store } = await makeStore();
    await store.close();
    await edit(file, `DELETE FROM journal WHERE position = 5`, `${PUT_BACK} id = 'h'`);
    expect((await findings(file)).map((one) => one.check)).toEqual(['store-head', 'record-stale']);
  });

  it('nothing: it starts with all that was there, and goes on', async () => {
    const { file, store } = await makeStore();
    await store.close();
    const again = await open(file);
    expect(await again.list('host', { limit: 10 })).toHaveLength(2);
    const [used, spent] = await again.commit([nonce('n'), unit(2)]);
    expect([used?.denied?.check, spent?.denied?.check]).toEqual(['replay-nonce', 'budget-spent']);
    await again.close();
    expect(await findings(file)).toEqual([]);
  });
});

describe('what is put back while the verifier runs', () => {
  it('is refused when it is read, whether it is older or gone', async () => {
    const { file, store } = await makeStore();
    await edit(file, `${PUT_BACK} id = 'h'`, `DELETE FROM records WHERE id = 'signer/s'`);
    const stale = { check: 'record-stale' };
    await expect(store.get({ kind: 'host', id: 'h' })).rejects.toMatchObject(stale);
    await expect(store.list('host', { limit: 10 })).rejects.toMatchObject(stale);
    await expect(store.get({ kind: 'revoked', id: 'signer/s' })).rejects.toMatchObject(stale);
    await expect(store.list('revoked', { limit: 10 })).rejects.toMatchObject(stale);
    expect((await store.get({ kind: 'host', id: 'other' }))?.version).toBe(1);
    await store.close();
  });

  it('is refused although it was read before: another connection wrote, so all is read again', async () => {
    const { file, store } = await makeStore();
    const host = { kind: 'host', id: 'h' };
    const unknown = { kind: 'host', id: 'none' };
    for (let i = 0; i < 2; i++) expect((await store.get(host))?.version).toBe(2);
    expect(await store.get(unknown)).toBeUndefined();
    await edit(
      file,
      `${PUT_BACK} id = 'h'`,
      `INSERT INTO records SELECT kind, 'none', 1, body, leaf, mac FROM old WHERE id = 'h'`,
    );
    await expect(store.get(host)).rejects.toMatchObject({ check: 'record-stale' });
    await expect(store.get(unknown)).rejects.toMatchObject({ check: 'record-forged' });
    await store.close();
  });

  it('is read as it was before a change that was denied, and as it is after one that held', async () => {
    const { store } = await makeStore();
    const host = { kind: 'host', id: 'h' };
    const absent = { kind: 'host', id: 'h', is: 'absent', check: 'state-moved', reason: 'moved' } as const;
    const denied = { ...write('host', 'h', { n: 1 }), preconditions: [absent] };
    const spent = change({ writes: [{ ...host, body: { n: 1 } }], once: nonce('n').once });
    expect((await store.commit([denied, spent])).map(({ ok }) => ok)).toEqual([false, false]);
    expect((await store.get(host))?.version).toBe(2);
    await store.commit([
      write('host', 'h', { n: 2 }),
      { ...write('host', 'h', {}), preconditions: [absent] },
    ]);
    expect(await store.get(host)).toMatchObject({ version: 3, body: { n: 2 } });
    await store.close();
  });

  it('decides nothing: neither a host, nor a budget, nor a nonce', async () => {
    const { file, store } = await makeStore();
    await edit(file, `${PUT_BACK} id IN ('h', 'b')`, `DELETE FROM once`);
    const active = change({
      preconditions: [
        { kind: 'host', id: 'h', is: 'version', version: 1, check: 'state-moved', reason: 'moved' },
      ],
    });
    const answers = await store.commit([active, unit(2), nonce('n'), write('host', 'other', {})]);
    expect(answers.map(({ ok, denied }) => denied?.check ?? ok)).toEqual([
      'record-stale',
      'record-stale',
      'replay-nonce',
      true,
    ]);
    await store.close();
  });

  it('the head: nothing is committed over it', async () => {
    const { file, store } = await makeStore();
    await edit(file, 'UPDATE head SET time = time - 1');
    await expect(store.commit([nonce('x')])).rejects.toMatchObject({ check: 'store-head' });
    await store.close();
  });

  it('a second verifier on the same store stops the first', async () => {
    const { file, store } = await makeStore();
    const second = await open(file);
    await second.commit([nonce('second')]);
    await expect(store.commit([nonce('first')])).rejects.toMatchObject({ check: 'store-head' });
    await second.close();
    await store.close();
  });
});

describe('what is remembered', () => {
  it('follows batches, denials and forgetting', async () => {
    const { file, store } = await makeStore();
    const twice = [write('host', 'h', { n: 1 }), write('host', 'h', { n: 2 })];
    const moved = change({
      writes: [{ kind: 'host', id: 'h', body: { n: 3 } }],
      budgets: [{ kind: 'budget', id: 'b', add: 1, limit: 2, check: 'budget-spent', reason: 'none left' }],
    });
    await store.commit([...twice, moved, nonce('short', 100), nonce('shorter', 50)]);
    expect((await store.get({ kind: 'host', id: 'h' }))?.body).toEqual({ n: 2 });
    await store.forget(60);
    const [again, short] = await store.commit([nonce('shorter', 50), nonce('short', 100)]);
    expect([again?.ok, short?.denied?.check]).toEqual([true, 'replay-nonce']);
    await store.close();
    expect(await findings(file)).toEqual([]);
    await (await open(file)).close();
  });

  it('is right after a COMMIT that failed', async () => {
    const { file, store } = await makeStore();
    // A violated constraint that is deferred fails the COMMIT itself, after everything was written.
    await edit(
      file,
      'CREATE TABLE parent (id INTEGER PRIMARY KEY)',
      'CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)',
      'CREATE TRIGGER broken AFTER INSERT ON leaves BEGIN INSERT INTO child VALUES (7); END',
    );
    await expect(store.commit([write('host', 'h', { n: 1 }), nonce('z')])).rejects.toThrow('FOREIGN KEY');
    await edit(file, 'DROP TRIGGER broken');
    expect((await store.get({ kind: 'host', id: 'h' }))?.body).toEqual({ state: 'revoked' });
    const [used] = await store.commit([nonce('z')]);
    expect(used?.ok).toBe(true);
    await store.close();
    await (await open(file)).close();
  });

  it('fits thousands of rows, and finds each of them', async () => {
    const file = path.join(folder, `store-${files++}.db`);
    const store = await open(file);
    const ids = Array.from({ length: 3000 }, (_, i) => `h${String(i)}`);
    await store.commit([change({ writes: ids.map((id) => ({ kind: 'host', id, body: {} })) })]);
    await store.commit(ids.map((id) => nonce(id, 10 + (id.length % 2))));
    await store.forget(11);
    await store.close();
    const again = await open(file);
    for (const id of ids) expect((await again.get({ kind: 'host', id }))?.version).toBe(1);
    expect(await again.get({ kind: 'host', id: 'h3000' })).toBeUndefined();
    const used = await again.commit(ids.map((id) => nonce(id)));
    expect(used.map(({ ok }) => ok)).toEqual(ids.map((id) => id.length % 2 === 0));
    await again.close();
  });
});

describe('a store of an earlier version', () => {
  it.each([1, 2, 3])('%i: is brought to the newest when it has no log yet', async (version) => {
    const file = path.join(folder, `store-${files++}.db`);
    const db = openSqlite(file);
    await migrate(db, version);
    await db.destroy();
    const store = await open(file);
    await store.commit([write('host', 'h', {})]);
    await store.close();
    expect(await findings(file)).toEqual([]);
  });

  it('is refused when its rows were never covered: nobody can say whether one was put back', async () => {
    const { file, store } = await makeStore();
    await store.close();
    await edit(
      file,
      'UPDATE head SET chain = NULL, records_mac = NULL, once_mac = NULL, mac = NULL',
      'DROP TABLE journal',
      ...['chain', 'records_mac', 'once_mac', 'mac'].map(
        (column) => `ALTER TABLE head DROP COLUMN ${column}`,
      ),
      `UPDATE meta SET value = '3' WHERE name = 'schema'`,
    );
    await expect(open(file)).rejects.toMatchObject({ check: 'store-head' });
  });
});
