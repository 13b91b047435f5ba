import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Records, StoredRecord } from '../../src/audit/index.ts';
import { toBase64url, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { putSecret, secretsPort } from '../../src/server/secrets.ts';
import { openSqlite } from '../../src/store/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { Answer, TestVerifier } from '../support/verifier.ts';

const directory = path.join(temporaryDirectory(), 'v');
const VALUE = 'correct horse battery staple';
const encoded = (text: string) => toBase64url(utf8(text));
let verifier: TestVerifier;
let admin: ReturnType<typeof operatorTls>;

beforeAll(async () => {
  install(directory);
  verifier = await startVerifier(directory);
  admin = operatorTls(directory);
});
afterAll(async () => {
  await verifier.server.stop();
});

const post = (url: string, body: unknown = {}): Promise<Answer> =>
  verifier.call({ method: 'POST', url, tls: admin, body });
const put = (name: string, text: string): Promise<Answer> =>
  post('/v1/secrets', { name, value: encoded(text) });
const list = async (query = '') =>
  (await verifier.call({ url: `/v1/secrets${query}`, tls: admin })).json['secrets'];
const released = async (name: string) => await verifier.server.services.secrets.get(name);
const plain = async (name: string) => {
  const found = await released(name);
  return found && { version: found.version, text: Buffer.from(found.value).toString() };
};

describe('secrets over HTTPS', () => {
  it('are stored, rotated, listed without their values, removed, and stored again under a new version', async () => {
    expect(await plain('database')).toBeUndefined();
    const first = await put('database', VALUE);
    expect(first.status).toBe(201);
    expect(first.json).toMatchObject({ name: 'database', version: 1, state: 'stored' });
    expect(await plain('database')).toEqual({ version: 1, text: VALUE });
    expect((await put('database', `${VALUE} 2`)).json).toMatchObject({ version: 2 });
    expect(await plain('database')).toEqual({ version: 2, text: `${VALUE} 2` });
    await put('another', 'x');
    expect(await list()).toMatchObject([
      { name: 'another', version: 1, state: 'stored' },
      { name: 'database', version: 2, state: 'stored' },
    ]);
    expect(await list('?after=another')).toHaveLength(1);
    const removed = await post('/v1/secrets/database/remove');
    expect(removed.json).toMatchObject({ version: 2, state: 'removed' });
    expect(await released('database')).toBeUndefined();
    expect((await post('/v1/secrets/database/remove')).json).toMatchObject({ code: 'not-found' });
    expect((await post('/v1/secrets/never/remove')).json).toMatchObject({ code: 'not-found' });
    expect((await put('database', 'new')).json).toMatchObject({ version: 3 });
    expect(await plain('database')).toEqual({ version: 3, text: 'new' });
  });

  it.each([
    ['no name', { value: 'AAAA' }],
    ['a name that is a path', { name: '../x', value: 'AAAA' }],
    ['no value', { name: 'a' }],
    ['an empty value', { name: 'a', value: '' }],
    ['a value that is no base64url', { name: 'a', value: 'c29tZXRoaW5n!' }],
    ['base64url that is not canonical', { name: 'a', value: 'AB' }],
    ['padding', { name: 'a', value: 'AAA=' }],
    ['a value that is too large', { name: 'a', value: 'A'.repeat(90_000) }],
    ['a value that is no text', { name: 'a', value: 1 }],
    ['more than it takes', { name: 'a', value: 'AAAA', version: 9 }],
  ])('refuse %s', async (_name, body) => {
    expect((await post('/v1/secrets', body)).status).toBe(400);
    expect(await released('a')).toBeUndefined();
  });

  it('of two that were prepared at one time, one is told to ask again', async () => {
    const { records, ledger, governance } = verifier.server.services;
    const order = { name: 'contended', by: { name: 'admin', certificate: 'ab' }, now: Date.now() };
    for (const version of [1, 2]) {
      const prepare = async (text: string) =>
        await putSecret(records, { ...order, value: encoded(text) }, governance.secretsKey, systemRandom);
      const [first, second] = [await prepare('a'), await prepare('b')];
      expect([first.facts.version, second.facts.version]).toEqual([version, version]);
      expect((await ledger.commit(first.change)).ok).toBe(true);
      expect((await ledger.commit(second.change)).denied).toMatchObject({ check: 'state-moved' });
      expect(await plain('contended')).toEqual({ version, text: 'a' });
    }
  });

  it('never are in an answer, a log line, a leaf or the store', async () => {
    const marker = 'seek-me-0123456789abcdef';
    const answers = [
      await put('marked', marker),
      await post('/v1/secrets', { name: 'marked', value: `${encoded(marker)}!` }),
      await post('/v1/secrets', { name: 'Marked', value: encoded(marker) }),
      await post('/v1/secrets', { name: 'marked', value: encoded(marker), more: 1 }),
      await post(`/v1/secrets/${encoded(marker)}/remove`),
      await verifier.call({ url: '/v1/secrets', tls: admin }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([201, 400, 400, 400, 400, 200]);
    const { size } = (await verifier.server.services.store.head())!;
    const leaves = await verifier.server.services.store.leaves(0, Number(size));
    const texts = [
      ...answers.slice(0, 4).map(({ text }) => text),
      answers[5]!.text,
      ...verifier.lines,
      ...leaves.map((leaf) => Buffer.from(leaf).toString()),
    ];
    const forms = [marker, encoded(marker), Buffer.from(marker).toString('hex')];
    for (const text of texts) for (const form of forms) expect(text).not.toContain(form);
    expect(leaves.some((leaf) => Buffer.from(leaf).toString().includes('"target":"marked@1"'))).toBe(true);
    for (const file of readdirSync(path.join(directory, 'data'))) {
      const bytes = readFileSync(path.join(directory, 'data', file));
      for (const form of forms) expect(bytes.includes(form), file).toBe(false);
    }
    expect(await plain('marked')).toEqual({ version: 1, text: marker });
  });
});

describe('ciphertexts', () => {
  /** Records as a database writer would have them who also knows the key of the rows' MACs. */
  const altered = (
    change: (rows: Map<string, JsonObject>) => void,
    rows: Map<string, JsonObject>,
  ): Records => {
    change(rows);
    return {
      get: ({ kind, id }) => {
        const body = rows.get(id);
        const record = body && ({ kind, id, version: 1, body, leaf: '0' } satisfies StoredRecord);
        return Promise.resolve(record);
      },
      list: () => Promise.resolve([]),
    };
  };
  const rowsOf = async (...names: string[]) => {
    const found = new Map<string, JsonObject>();
    for (const name of names) {
      const row = await verifier.server.services.records.get({ kind: 'secret', id: name });
      found.set(name, row!.body);
    }
    return found;
  };
  const open = async (name: string, change: (rows: Map<string, JsonObject>) => void) => {
    const key = verifier.server.services.governance.secretsKey;
    return await secretsPort(altered(change, await rowsOf('left', 'right')), key).get(name);
  };

  it('of one secret are none of another, nor of another version', async () => {
    await put('left', 'a');
    await put('right', 'b');
    const [old] = [(await rowsOf('left')).get('left')!];
    await put('left', 'c');
    await put('right', 'd');
    expect(Buffer.from((await open('left', () => undefined))!.value).toString()).toBe('c');
    await expectRejection(
      'stored-secret',
      open('left', (rows) => rows.set('left', { ...rows.get('left')!, value: rows.get('right')!['value']! })),
    );
    await expectRejection(
      'stored-secret',
      open('left', (rows) => rows.set('left', { ...rows.get('left')!, value: old['value']! })),
    );
    await expectRejection(
      'stored-secret',
      open('left', (rows) => rows.set('left', { ...rows.get('left')!, version: 3 })),
    );
    await expectRejection(
      'malformed',
      open('left', (rows) => rows.set('left', { ...rows.get('left')!, value: 'AA' })),
    );
    await expectRejection(
      'secret-record',
      open('left', (rows) => rows.set('left', { v: 1 })),
    );
  });

  it('rows that were swapped in the database are refused', async () => {
    const before = await released('left');
    const db = openSqlite(path.join(directory, 'data/store.db'));
    const row = async (id: string) =>
      await db
        .selectFrom('records')
        .selectAll()
        .where('kind', '=', 'secret')
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
    const { body, mac, version, leaf } = await row('right');
    await db
      .updateTable('records')
      .set({ body, mac, version, leaf })
      .where('kind', '=', 'secret')
      .where('id', '=', 'left')
      .execute();
    await db.destroy();
    // What was read and verified before is what is released, never the other's value; a commit looks at the row.
    const value = (await released('left'))?.value;
    expect(value).toEqual(before?.value);
    expect(value).not.toEqual((await released('right'))?.value);
    expect((await put('left', 'again')).status).toBe(503);
    await verifier.server.stop();
    await expectRejection('record-stale', startVerifier(directory));
  });
});
