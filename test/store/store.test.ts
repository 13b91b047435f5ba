import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sql } from 'kysely';
import { afterAll, describe, expect, it } from 'vitest';
import { parseCheckpoint, verifyCheckpoint } from '../../src/audit/checkpoint.ts';
import { leafHash, proveConsistency, verifyConsistency } from '../../src/audit/index.ts';
import type { Change } from '../../src/audit/ledger.ts';
import { parseLogProof, verifyLogProof } from '../../src/audit/log-proof.ts';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { Refusal, utf8 } from '../../src/base/index.ts';
import {
  groupCommit,
  openSqlite,
  openStore,
  openWorkerStore,
  readStoredHead,
} from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-store-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const { privateKey } = generateKeyPairSync('ed25519');
const signer = noteSigner('log.example.org', 'note', privateKey);
const keys = { signer, macKey: new Uint8Array(32).fill(9) };
let files = 0;
const newFile = (): string => path.join(folder, `store-${files++}.db`);

async function open(
  file = newFile(),
  now = () => 1_800_000_000_000,
): Promise<{ store: StoreOperations; file: string }> {
  return { store: await openStore(openSqlite(file), keys, { now }, 'epoch-1'), file };
}

function change(options: Partial<Change> & { name?: string } = {}): Change {
  const { name = 'x', ...rest } = options;
  return {
    leaf: { kind: 'test', name },
    denialLeaf: { kind: 'test-denied', name },
    preconditions: [],
    once: [],
    writes: [],
    bodies: [],
    ...rest,
  };
}
const nonce = (id: string): Change['once'][number] => ({
  kind: 'nonce',
  id,
  expires: 2e12,
  check: 'replay-nonce',
  reason: 'used',
});
const host = (id: string, body: JsonObject = {}): Change['writes'][number] => ({ kind: 'host', id, body });
const leafOf = (leaf: Uint8Array | undefined): JsonObject =>
  JSON.parse(Buffer.from(leaf ?? []).toString()) as JsonObject;

describe('a commit', () => {
  it('appends a leaf, and answers with a proof that verifies under the log’s key', async () => {
    const { store } = await open();
    const [answer] = await store.commit([change({ name: 'first' })]);
    expect(answer).toMatchObject({ ok: true, index: '0' });
    expect(leafOf(answer?.leaf)).toEqual({
      kind: 'test',
      name: 'first',
      index: '0',
      epoch: 'epoch-1',
      time: '2027-01-15T08:00:00.000Z',
    });
    const proof = parseLogProof(utf8(answer?.proof ?? ''));
    expect(
      verifyLogProof(proof, { logKeys: [signer.key], leafHash: leafHash(answer?.leaf ?? new Uint8Array()) }),
    ).toEqual([]);
    expect((await store.head())?.checkpoint).toBe(answer?.checkpoint);
    await store.close();
  });

  it('keeps one consistent log over many commits and reopening', async () => {
    const { store, file } = await open();
    const checkpoints: string[] = [];
    for (let i = 0; i < 7; i++) {
      const answers = await store.commit(Array.from({ length: 60 }, (_, n) => change({ name: `${i}.${n}` })));
      checkpoints.push(answers[0]?.checkpoint ?? '');
    }
    await store.close();
    const again = await open(file);
    await again.store.commit([change({ name: 'after' })]);
    const last = parseCheckpoint(utf8((await again.store.head())?.checkpoint ?? ''));
    verifyCheckpoint(last, [signer.key]);
    expect(last.claimed.size).toBe(421n);
    for (const text of checkpoints) {
      const old = parseCheckpoint(utf8(text)).claimed;
      const proof = await proveConsistency(old.size, last.claimed.size, again.store.tiles);
      verifyConsistency({
        oldSize: old.size,
        oldRoot: old.root,
        size: last.claimed.size,
        root: last.claimed.root,
        proof,
      });
    }
    const entries = await again.store.leaves(0, 1000);
    expect(entries).toHaveLength(421);
    await again.store.close();
  });

  it('time never goes back, whatever the clock says', async () => {
    let now = 1_800_000_000_000;
    const { store } = await open(newFile(), () => now);
    await store.commit([change()]);
    now -= 86_400_000;
    const [second] = await store.commit([change()]);
    expect(leafOf(second?.leaf)['time']).toBe('2027-01-15T08:00:00.000Z');
    await store.close();
  });
});

describe('what can still say no', () => {
  it('a nonce works once, alone and in one batch with good ones', async () => {
    const { store } = await open();
    const answers = await store.commit([
      change({ once: [nonce('a')], writes: [host('1')] }),
      change({ once: [nonce('a')], writes: [host('2')] }),
      change({ once: [nonce('b')], writes: [host('3')] }),
    ]);
    expect(answers.map(({ ok, denied }) => denied?.check ?? ok)).toEqual([true, 'replay-nonce', true]);
    expect(leafOf(answers[1]?.leaf)).toMatchObject({
      kind: 'test-denied',
      denial: { check: 'replay-nonce', reason: 'used' },
    });
    expect(await store.get({ kind: 'host', id: '2' })).toBeUndefined();
    expect((await store.get({ kind: 'host', id: '3' }))?.version).toBe(1);
    await store.close();
  });

  it('a nonce is spent even when the change is denied for something else', async () => {
    const { store } = await open();
    const absent = {
      kind: 'host',
      id: 'none',
      is: 'version',
      version: 1,
      check: 'state-moved',
      reason: 'moved',
    } as const;
    const [denied] = await store.commit([change({ once: [nonce('n')], preconditions: [absent] })]);
    expect(denied?.denied?.check).toBe('state-moved');
    const [again] = await store.commit([change({ once: [nonce('n')] })]);
    expect(again?.denied?.check).toBe('replay-nonce');
    await store.close();
  });

  it('preconditions are read again under the lock: the second of two prepared changes is denied', async () => {
    const { store } = await open();
    await store.commit([change({ writes: [host('h', { state: 'active' })] })]);
    const expectV1 = {
      kind: 'host',
      id: 'h',
      is: 'version',
      version: 1,
      check: 'revoked-meanwhile',
      reason: 'moved',
    } as const;
    const [revoke, decision] = await store.commit([
      change({ preconditions: [expectV1], writes: [host('h', { state: 'revoked' })] }),
      change({ preconditions: [expectV1], writes: [{ kind: 'execution', id: 'e', body: {} }] }),
    ]);
    expect(revoke?.ok).toBe(true);
    expect(decision?.denied?.check).toBe('revoked-meanwhile');
    expect(await store.get({ kind: 'execution', id: 'e' })).toBeUndefined();
    const [created] = await store.commit([
      change({
        preconditions: [{ kind: 'host', id: 'h', is: 'absent', check: 'state-moved', reason: 'exists' }],
      }),
    ]);
    expect(created?.ok).toBe(false);
    await store.close();
  });

  it('TPM counters only advance', async () => {
    const { store } = await open();
    const at = (clock: string, resetCount = 1) =>
      change({ counters: { ek: 'e', resetCount, restartCount: 0, clock, safe: true } });
    const answers = await store.commit([at('10'), at('11'), at('11'), at('5', 2), at('20', 1), at('12')]);
    expect(answers.map(({ denied }) => denied?.check)).toEqual([
      undefined,
      undefined,
      'e17',
      'e17',
      undefined,
      'e17',
    ]);
    await store.close();
  });

  it('a TPM that went back is told from a quote that was held back', async () => {
    const time = 1_800_000_000_000;
    const { store } = await open(newFile(), () => time);
    const at = (clock: string, challenged: number, resetCount = 1) =>
      change({ counters: { ek: 'e', resetCount, restartCount: 0, clock, safe: true, challenged } });
    const [, late, rebooted, back, newer] = await store.commit([
      at('20', time - 5),
      at('10', time - 10),
      at('10', time - 10, 0),
      // The challenge came after the mark: this TPM was put back.
      at('10', time),
      at('30', time - 10),
    ]);
    expect(late?.denied?.check).toBe('quote-overtaken');
    expect(rebooted?.denied?.check).toBe('quote-overtaken');
    expect(back?.denied?.check).toBe('e17');
    expect(newer?.ok).toBe(true);
    await store.close();
  });

  it('a denial without a leaf leaves no trace, a leaf that is too large fails alone', async () => {
    const { store } = await open();
    const quiet: Change = {
      leaf: { big: 'x'.repeat(70_000) },
      preconditions: [],
      once: [],
      writes: [],
      bodies: [],
    };
    const [large, good] = await store.commit([quiet, change()]);
    expect(large).toEqual({
      ok: false,
      denied: { check: 'leaf-size', reason: expect.any(String) as string },
    });
    expect(good).toMatchObject({ ok: true, index: '0' });
    await store.close();
  });
});

describe('the database is not an authority', () => {
  const edits: [string, string, string][] = [
    ['an edited body', 'record-forged', `UPDATE records SET body = '{"state":"active"}' WHERE id = 'a'`],
    ['a moved row', 'record-stale', `UPDATE records SET id = 'c' WHERE id = 'a'`],
    ['another version', 'record-forged', `UPDATE records SET version = 7 WHERE id = 'a'`],
    ['another leaf', 'record-forged', `UPDATE records SET leaf = '9' WHERE id = 'a'`],
    [
      'swapped bodies',
      'record-stale',
      `UPDATE records SET body = (SELECT body FROM records WHERE id = 'b'), mac = (SELECT mac FROM records WHERE id = 'b') WHERE id = 'a'`,
    ],
  ];
  it.each(edits)('%s is noticed, at start or at use', async (_name, check, statement) => {
    const { store, file } = await open();
    await store.commit([
      change({ writes: [host('a', { state: 'revoked' }), host('b', { state: 'active' })] }),
    ]);
    await store.close();
    const db = openSqlite(file);
    await sql.raw(statement).execute(db);
    await db.destroy();
    const list = async () => {
      const again = await open(file);
      return await again.store.list('host', { limit: 10 }).finally(() => again.store.close());
    };
    await expect(list()).rejects.toMatchObject({ check });
  });

  it('a store of another log or of a newer version is refused', async () => {
    const { store, file } = await open();
    await store.close();
    const other = { ...keys, signer: noteSigner('other.example.org', 'note', privateKey) };
    await expect(openStore(openSqlite(file), other, { now: () => 0 }, 'e')).rejects.toMatchObject({
      check: 'log-origin',
    });
    const db = openSqlite(file);
    await sql.raw(`UPDATE meta SET value = '99' WHERE name = 'schema'`).execute(db);
    await db.destroy();
    await expect(open(file)).rejects.toMatchObject({ check: 'store-version' });
  });
});

describe('group commit', () => {
  it('joins what waits into one commit and answers each', async () => {
    const { store } = await open();
    let commits = 0;
    const ledger = groupCommit((changes) => {
      commits++;
      return store.commit(changes);
    });
    const answers = await Promise.all(
      Array.from({ length: 600 }, (_, i) => ledger.commit(change({ name: String(i) }))),
    );
    expect(new Set(answers.map(({ index }) => index)).size).toBe(600);
    expect(commits).toBeLessThan(10);
    await store.close();
  });

  it('when a commit fails nothing was decided, and the next one works', async () => {
    const { store } = await open();
    let broken = true;
    const told: unknown[] = [];
    const ledger = groupCommit(
      async (changes) => {
        if (broken) throw new Error('SQLITE_FULL: /var/lib/sealgate');
        return await store.commit(changes);
      },
      (error) => told.push(error),
    );
    // Whoever asked learns nothing of files and queries; the operator's log does.
    await expect(ledger.commit(change())).rejects.toMatchObject({
      check: 'ledger-unavailable',
      reason: 'the decision could not be written',
    });
    expect(told).toMatchObject([{ message: 'SQLITE_FULL: /var/lib/sealgate' }]);
    broken = false;
    expect((await ledger.commit(change())).index).toBe('0');
    await store.close();
  });

  it('an error of the database inside a commit undoes the whole batch', async () => {
    const { store, file } = await open();
    await store.commit([change()]);
    const db = openSqlite(file);
    await sql
      .raw(`CREATE TRIGGER full BEFORE INSERT ON leaves BEGIN SELECT RAISE(FAIL, 'no space'); END`)
      .execute(db);
    await expect(store.commit([change({ once: [nonce('z')], writes: [host('q')] })])).rejects.toThrow(
      'no space',
    );
    await sql.raw(`DROP TRIGGER full`).execute(db);
    await db.destroy();
    expect(await store.get({ kind: 'host', id: 'q' })).toBeUndefined();
    const [answer] = await store.commit([change({ once: [nonce('z')] })]);
    expect(answer).toMatchObject({ ok: true, index: '1' });
    await store.close();
  });
});

describe('in its own thread', () => {
  it('does the same, passes refusals through, and fails calls when it ends', async () => {
    const start = {
      file: newFile(),
      origin: 'log.example.org',
      macKey: keys.macKey,
      newEpoch: 'e',
      logKey: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    };
    const store = await openWorkerStore(start);
    const sha256 = createHash('sha256').update('body').digest('hex');
    const [answer] = await store.commit([
      change({ writes: [host('w', { n: 1 })], bodies: [{ sha256, data: utf8('body'), keepUntil: 10 }] }),
    ]);
    expect(answer).toMatchObject({ ok: true, index: '0' });
    expect(await store.get({ kind: 'host', id: 'w' })).toMatchObject({
      version: 1,
      body: { n: 1 },
      leaf: '0',
    });
    expect(Buffer.from((await store.body(sha256)) ?? []).toString()).toBe('body');
    await store.forget(11);
    expect(await store.body(sha256)).toBeUndefined();
    await expect(store.tiles.readTiles([{ level: 3, index: 0n, width: 1 }])).rejects.toBeInstanceOf(Refusal);
    await store.close();
    await expect(store.head()).rejects.toThrow('ended');
    await expect(openWorkerStore({ ...start, origin: 'other' })).rejects.toMatchObject({
      check: 'log-origin',
    });
    // The thread that refused has let go of it: whoever was told may take the store for itself at once.
    expect(await readStoredHead(start.file, [keys.signer.key])).toMatchObject({ state: 'signed' });
  });
});
