import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { leafBody, leafHash, parseCheckpoint, parseLeaf, verifyCheckpoint } from '../../src/audit/index.ts';
import type { Change, OpeningLeaf, StoredRecord } from '../../src/audit/index.ts';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import { toHex, utf8 } from '../../src/base/index.ts';
import { isHeld, parseHost, quarantineHost, returnHost } from '../../src/enrollment/index.ts';
import type { StoredHost } from '../../src/enrollment/index.ts';
import { requireNamedLog, successorChanges } from '../../src/server/succession.ts';
import { beginLog, checkStore, openSqlite, openStore, readContent } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';
import { hostRecord } from '../support/host-record.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** What goes over into a log that opens in place of a closed one, and what doesn't. */

const folder = temporaryDirectory();
const macKey = new Uint8Array(32).fill(9);
const signerOf = (origin: string) => noteSigner(origin, 'note', generateKeyPairSync('ed25519').privateKey);
const [old, now] = [signerOf('log.example.org'), signerOf('log.example.org/2')];
const third = signerOf('log.example.org/3');
const by = { kind: 'verifier', id: 'v1' } as const;
const OPENED = Date.UTC(2026, 10, 23, 12);
const clock = { now: () => OPENED };
const previous: NonNullable<OpeningLeaf['previous']> = {
  ...{ origin: 'log.example.org', size: '9', root: `sha256:${'a'.repeat(64)}` },
  ...{ source: 'high-water', kept: '4', gap: 'five entries' },
};
const terms = { origin: now.key.name, previous, replica: 'v1', hostsReturn: true };
const hosts = { active: 'a'.repeat(64), stopped: 'b'.repeat(64), gone: 'c'.repeat(64) };

const change = (rest: Partial<Change> = {}): Change => ({
  leaf: leafBody({ v: 1, kind: 'opening', origin: 'log.example.org', previous: null }),
  ...{ preconditions: [], once: [], writes: [], bodies: [] },
  ...rest,
});
const id = (kind: string, name: string, made?: number): Change =>
  change({
    once: [
      {
        ...{ kind, id: name, expires: 2e12, check: 'replay-token', reason: 'used' },
        ...(made === undefined ? {} : { made }),
      },
    ],
  });
const written = (kind: string, name: string, body: object): Change =>
  change({ writes: [{ kind, id: name, body: body as Record<string, never> }] });

let files = 0;
/** A store with hosts of every state, an execution, a secret, a revocation and a used token; one connection. */
async function before() {
  const db = openSqlite(path.join(folder, `${String(files++)}.db`), 'DELETE');
  const store = await openStore(db, { signer: old, macKey }, clock, 'epoch-1');
  const host = (hostId: string, state: 'active' | 'quarantined' | 'revoked') =>
    written('host', hostId, hostRecord(hostId, state));
  await store.commit([
    change(),
    host(hosts.active, 'active'),
    host(hosts.stopped, 'quarantined'),
    host(hosts.gone, 'revoked'),
    written('execution', 'e1', { state: 'running' }),
    written('host-executions', hosts.active, { used: 3 }),
    written('execution-children', 'e1', { used: 1 }),
    written('revoked', 'signer/s', { v: 1 }),
    written('secret', 's', { value: 'x' }),
    written('secret', 's', { value: 'y' }),
    written('counters', hosts.active, { resetCount: 7, restartCount: 0, clock: '100', safe: true }),
    id('bearer-token', 'used'),
  ]);
  return { db, store };
}
async function after(more: Partial<typeof terms> = {}) {
  const { db } = await before();
  const changes = successorChanges(await readContent(db, macKey), { ...terms, ...more });
  const begun = await beginLog(db, { keys: { signer: now, macKey }, clock, epoch: 'epoch-2', changes });
  const store = await openStore(db, { signer: now, macKey }, clock, 'unused');
  return { db, store, begun };
}
const stateOf = async (store: StoreOperations, hostId: string): Promise<unknown> =>
  (await store.get({ kind: 'host', id: hostId }))?.body['state'];
async function heldHost(store: StoreOperations): Promise<[StoredHost, StoredRecord | undefined]> {
  const row = await store.get({ kind: 'host', id: hosts.active });
  if (row === undefined) throw new Error('no host');
  return [parseHost(row), await store.get({ kind: 'host-held', id: hosts.active })];
}

describe('a log that opens in place of a closed one', () => {
  it('is sound, of its own name, key and epoch, and begins with what is lost', async () => {
    const { db, store, begun } = await after();
    const checkpoint = parseCheckpoint(utf8(begun.checkpoint));
    verifyCheckpoint(checkpoint, [now.key]);
    expectRefusal('log-origin', () => verifyCheckpoint(checkpoint, [old.key]));
    expect(parseLeaf(begun.first)).toMatchObject({ kind: 'opening', origin: now.key.name, previous });
    expect(await store.epoch()).toBe('epoch-2');
    const report = await checkStore(db, { macKey, logKeys: [now.key] });
    expect(report).toMatchObject({ findings: [], entries: Number(checkpoint.claimed.size) });
    await expectRejection('log-origin', openStore(db, { signer: old, macKey }, clock, 'x'));
  });

  it('knows hosts, secrets, revocations and counters, and names their digest', async () => {
    const { store } = await after();
    expect((await store.get({ kind: 'secret', id: 's' }))?.body).toEqual({ value: 'y' });
    expect(await store.get({ kind: 'revoked', id: 'signer/s' })).toBeDefined();
    expect((await store.get({ kind: 'counters', id: hosts.active }))?.body).toMatchObject({ clock: '100' });
    const leaves = (await store.leaves(0, 10)).map((bytes) => parseLeaf(bytes));
    expect(leaves.filter(({ kind }) => kind === 'operator')).toMatchObject([
      { action: 'records-taken-over', digest: expect.stringMatching(/^sha256:/) as unknown },
      { action: 'ids-taken-over', target: '1', digest: expect.stringMatching(/^sha256:/) as unknown },
    ]);
  });

  it('knows no execution of before, so that none is renewed, has children or is counted', async () => {
    const { store } = await after();
    for (const kind of ['execution', 'execution-children', 'host-executions'])
      expect(await store.list(kind, { limit: 10 }), kind).toEqual([]);
  });

  it('quarantines active hosts until they attest, and brings none back that was stopped', async () => {
    const { store } = await after();
    expect(await stateOf(store, hosts.active)).toBe('quarantined');
    expect(await stateOf(store, hosts.stopped)).toBe('quarantined');
    expect(await stateOf(store, hosts.gone)).toBe('revoked');
    const held = await store.list('host-held', { limit: 10 });
    expect(held.map((one) => one.id)).toEqual([hosts.active]);
    const last = (await store.leaves(0, 10)).map((bytes) => parseLeaf(bytes)).at(-1);
    expect(last).toMatchObject({
      kind: 'transition',
      hostId: hosts.active,
      from: 'active',
      to: 'quarantined',
    });
    const without = await after({ hostsReturn: false });
    expect(await stateOf(without.store, hosts.active)).toBe('quarantined');
    expect(await without.store.list('host-held', { limit: 10 })).toEqual([]);
  });

  it('holds hosts anew that the log before held, by its own terms, and none that was stopped meanwhile', async () => {
    for (const hostsReturn of [true, false]) {
      const { db } = await after();
      const next = { ...terms, origin: third.key.name, hostsReturn };
      const changes = successorChanges(await readContent(db, macKey), next);
      await beginLog(db, { keys: { signer: third, macKey }, clock, epoch: 'epoch-3', changes });
      const again = await openStore(db, { signer: third, macKey }, clock, 'unused');
      const [host, held] = await heldHost(again);
      expect(host.host.state).toBe('quarantined');
      expect(isHeld(host, held), String(hostsReturn)).toBe(hostsReturn);
      expect(returnHost(host, held, by) !== undefined).toBe(hostsReturn);
      expect(host.host.generation).toBe(3);
      expect(await again.list('host-held', { limit: 10 })).toHaveLength(hostsReturn ? 1 : 0);
    }
    const { db, store } = await after();
    const [host, held] = await heldHost(store);
    await store.commit([quarantineHost(host, 'looked odd', by, held)]);
    const changes = successorChanges(await readContent(db, macKey), { ...terms, origin: third.key.name });
    expect(changes.filter(({ leaf }) => leaf['kind'] === 'transition')).toEqual([]);
    expect(changes.flatMap(({ writes }) => writes).filter(({ kind }) => kind === 'host-held')).toEqual([]);
  });

  it('lets a host that it holds be stopped: it doesn’t come back by itself then', async () => {
    const { store } = await after();
    const [host, held] = await heldHost(store);
    expectRefusal('host-state', () => quarantineHost(host, 'looked odd', by));
    const [done] = await store.commit([quarantineHost(host, 'looked odd', by, held)]);
    expect(parseLeaf(done?.leaf ?? utf8(''))).toMatchObject({ from: 'quarantined', to: 'quarantined' });
    const [stopped, before] = await heldHost(store);
    expect(stopped.host.state).toBe('quarantined');
    expect(returnHost(stopped, before, by)).toBeUndefined();
    expectRefusal('host-state', () => quarantineHost(stopped, 'again', by, before));
  });

  it('takes no id that was used, and none that is from before it opened, used or not', async () => {
    const { store } = await after();
    const commit = async (one: Change): Promise<boolean> => (await store.commit([one]))[0]?.ok === true;
    expect(await commit(id('bearer-token', 'used'))).toBe(false);
    expect(await commit(id('bearer-token', 'used', OPENED + 1))).toBe(false);
    const [denied] = await store.commit([id('bearer-token', 'of-the-gap', OPENED - 1)]);
    expect(denied).toMatchObject({ ok: false, denied: { check: 'replay-token' } });
    expect(denied?.denied?.reason).toContain('before this log opened');
    expect(await commit(id('bearer-token', 'no-time', Number.NaN))).toBe(false);
    expect(await commit(id('bearer-token', 'new', OPENED))).toBe(true);
    expect(await commit(id('bearer-token', 'new', OPENED))).toBe(false);
    // A log that is whole knows what was used: there nothing is too old.
    const whole = await before();
    expect((await whole.store.commit([id('bearer-token', 'old', 5)]))[0]?.ok).toBe(true);
  });

  it('is not made of rows that somebody edited', async () => {
    const { db } = await before();
    await sql`UPDATE records SET body = '{"value":"z"}' WHERE kind = 'secret'`.execute(db);
    await expectRejection('record-forged', readContent(db, macKey));
    const { db: other } = await before();
    await sql`DELETE FROM once`.execute(other);
    await expectRejection('record-stale', readContent(other, macKey));
  });
});

describe('a verifier', () => {
  const opening = utf8('');
  const root = (leaf: Uint8Array): string => `sha256:${toHex(leafHash(leaf))}`;
  const named = (leaf: Uint8Array, size = '9', origin = now.key.name, kept = '4') => ({
    succession: [
      {
        kept,
        closed: { origin: 'log.example.org', size, root: previous.root },
        opened: { origin, root: root(leaf) },
      },
    ],
  });

  it('serves a log that goes on from a closed one only as the authorities named it', async () => {
    const { begun } = await after();
    const { store } = await before();
    const [whole = opening] = await store.leaves(0, 1);
    requireNamedLog(named(begun.first), begun.first);
    requireNamedLog(named(begun.first, '12'), begun.first);
    requireNamedLog({ succession: [] }, whole);
    requireNamedLog({ succession: [] }, undefined);
    for (const [trust, leaf] of [
      [{ succession: [] }, begun.first],
      [named(begun.first), whole],
      [named(begun.first), undefined],
      [named(whole), begun.first],
      [named(begun.first, '8'), begun.first],
      [named(begun.first, '9', 'log.example.org/3'), begun.first],
      // What the authorities were told is kept, and so how much is forgotten.
      [named(begun.first, '9', now.key.name, '8'), begun.first],
    ] as const)
      expectRefusal('log-successor', () => {
        requireNamedLog(trust, leaf);
      });
  });

  it('ends the quarantine of a host only as it made it', async () => {
    const { store } = await after();
    const held = await store.get({ kind: 'host-held', id: hosts.active });
    const host: StoredHost = {
      host: { ...hostRecord(hosts.active, 'quarantined'), generation: Number(held?.body['generation']) },
      version: 2,
    };
    expect(returnHost(host, held, by)).toMatchObject({ leaf: { kind: 'transition', to: 'active' } });
    expect(returnHost(host, undefined, by)).toBeUndefined();
    const changed = { ...host, host: { ...host.host, generation: host.host.generation + 1 } };
    expect(returnHost(changed, held, by)).toBeUndefined();
    for (const state of ['active', 'revoked', 'pending'] as const)
      expect(returnHost({ ...host, host: { ...host.host, state } }, held, by)).toBeUndefined();
  });
});
