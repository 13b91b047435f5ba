import { generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { leafBody } from '../../src/audit/index.ts';
import type { LeafBody } from '../../src/audit/index.ts';
import type { Change } from '../../src/audit/ledger.ts';
import { noteSigner } from '../../src/audit/verifier-key.ts';
import { MemoryLineage, indexKey } from '../../src/lineage/index.ts';
import { migrate, openSqlite, openStore, rebuildLineage } from '../../src/store/index.ts';
import type { StoreOperations } from '../../src/store/index.ts';
import { ensureLineage } from '../../src/store/lineage-rebuild.ts';
import {
  allowed,
  child,
  ended,
  enrolled,
  entriesOf,
  executionId,
  published,
  renewed,
  sha,
} from '../lineage/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const folder = temporaryDirectory();
const { privateKey } = generateKeyPairSync('ed25519');
const keys = {
  signer: noteSigner('log.example.org', 'note', privateKey),
  macKey: new Uint8Array(32).fill(9),
};
let files = 0;
const newFile = (): string => path.join(folder, `store-${String(files++)}.db`);
const open = (file: string): Promise<StoreOperations> =>
  openStore(openSqlite(file), keys, { now: () => 1_800_000_000_000 }, 'e');
const change = (leaf: Change['leaf']): Change => ({
  leaf,
  ...{ preconditions: [], once: [], writes: [], bodies: [] },
});

/** A family in which parents and children come in one commit, and renewals later. */
const BODIES: readonly LeafBody[] = [
  enrolled('host-a'),
  published(),
  allowed(1),
  child(2, 1),
  child(3, 2),
  ended(2),
  allowed(4),
  renewed([1, 4, 9], { policy: { digest: sha('policy-2'), version: 2, deciding: ['run'] } }),
  renewed([1]),
];

/** Every row, ordered. */
async function dump(file: string) {
  const db = openSqlite(file);
  const { rows } = await sql<{ key: string; node: number; leaf: number }>`
    SELECT key, node, leaf FROM lineage ORDER BY key, node`.execute(db);
  await db.destroy();
  return rows.map((row) => ({ ...row }));
}

async function inMemory(entries: readonly Uint8Array[]) {
  const lineage = new MemoryLineage();
  for (const entry of entries) await lineage.add(entry);
  return lineage.dump();
}

async function edit(file: string, ...statements: string[]): Promise<void> {
  const db = openSqlite(file);
  for (const statement of statements) await sql.raw(statement).execute(db);
  await db.destroy();
}

async function rebuild(file: string) {
  const db = openSqlite(file);
  try {
    return await rebuildLineage(db);
  } finally {
    await db.destroy();
  }
}

describe('the lineage index in the store', () => {
  it('is filled with the entries, in their commits, and is what the log alone gives', async () => {
    const file = newFile();
    const store = await open(file);
    const bodies = BODIES.map((body) => leafBody(body));
    await store.commit(bodies.slice(0, 4).map(change));
    for (const body of bodies.slice(4)) await store.commit([change(body)]);
    // What is no leaf of today's kinds is in the log, and has no lineage.
    await store.commit([change({ kind: 'test' })]);
    const entries = await store.leaves(0, 100);
    const rows = await dump(file);
    expect(rows.length).toBeGreaterThan(50);
    expect(rows).toEqual(await inMemory(entries));
    const page = await store.lineage({ ask: 'ancestors', executionId: executionId(3), size: entries.length });
    expect(page.found.map(({ decision }) => decision)).toEqual([4, 3, 2]);
    await store.close();
    expect(await rebuild(file)).toEqual({ entries: 10, rows: rows.length, removed: 0, added: 0 });
    expect(await dump(file)).toEqual(rows);
  });

  it('comes with its entry or not at all', async () => {
    const file = newFile();
    const store = await open(file);
    await store.commit([change(leafBody(allowed(1)))]);
    await edit(
      file,
      `CREATE TRIGGER broken BEFORE INSERT ON lineage BEGIN SELECT RAISE(FAIL, 'no index'); END`,
    );
    await expect(store.commit([change(leafBody(allowed(2)))])).rejects.toThrow('no index');
    await edit(file, 'DROP TRIGGER broken');
    expect(await store.leaves(0, 10)).toHaveLength(1);
    await store.commit([change(leafBody(allowed(2)))]);
    expect(await dump(file)).toEqual(await inMemory(await store.leaves(0, 10)));
    await store.close();
  });

  it.each([
    ['a row pointed elsewhere', 'UPDATE lineage SET leaf = leaf + 1 WHERE node = 2'],
    ['a row moved', 'UPDATE lineage SET node = 700 WHERE node = 3'],
    ['rows taken away', 'DELETE FROM lineage WHERE node > 2'],
    ['rows made up', "INSERT INTO lineage VALUES ('AAAAAAAAAAAAAAAAAAAAAA', 1, 1), ('B', 5, 5)"],
    ['every row gone', 'DELETE FROM lineage'],
  ])('is made again from the log after %s', async (_name, statement) => {
    const file = newFile();
    const store = await open(file);
    for (const body of BODIES) await store.commit([change(leafBody(body))]);
    await store.close();
    const before = await dump(file);
    await edit(file, statement);
    expect(await dump(file)).not.toEqual(before);
    const { removed, added } = await rebuild(file);
    expect(removed + added).toBeGreaterThan(0);
    expect(await dump(file)).toEqual(before);
  });

  it('a store of before it is filled from its entries when it is opened', async () => {
    const file = newFile();
    const entries = entriesOf(BODIES);
    const db = openSqlite(file);
    // Two steps: what there was before lineage.
    await migrate(db, 2);
    for (const [position, data] of entries.entries())
      await sql`INSERT INTO leaves (position, data) VALUES (${position}, ${data})`.execute(db);
    await migrate(db);
    await ensureLineage(db);
    expect(await dump(file)).toEqual(await inMemory(entries));
    // Filled once: who opens it again doesn't read the log again.
    await sql`DELETE FROM lineage`.execute(db);
    await ensureLineage(db);
    expect(await dump(file)).toEqual([]);
    // An index of another version is made anew.
    await sql`UPDATE meta SET value = '0' WHERE name = 'lineage'`.execute(db);
    await ensureLineage(db);
    expect(await dump(file)).toEqual(await inMemory(entries));
    await db.destroy();
  });

  it('survives entries that were edited, taken out or made up', async () => {
    const file = newFile();
    const store = await open(file);
    for (const body of BODIES) await store.commit([change(leafBody(body))]);
    await store.close();
    await edit(
      file,
      "UPDATE leaves SET data = x'7b' WHERE position = 2",
      'DELETE FROM leaves WHERE position = 4',
      `UPDATE leaves SET data = CAST(replace(CAST(data AS TEXT), '"index":"6"', '"index":"7"') AS BLOB) WHERE position = 6`,
      `INSERT INTO leaves VALUES (20, CAST('{"kind":"decision","index":"20"}' AS BLOB)), (21, CAST('[]' AS BLOB))`,
    );
    expect(await rebuild(file)).toMatchObject({ entries: 22 });
    const kept = (await dump(file)).map(({ node }) => node);
    for (const gone of [2, 4, 6, 20, 21]) expect(kept).not.toContain(gone);
  });

  it('a forged row of an execution leads to no row that looks right', async () => {
    const file = newFile();
    const store = await open(file);
    for (const body of BODIES.slice(0, 7)) await store.commit([change(leafBody(body))]);
    // Execution 4, which is nobody's child, is said to be the decision of 2, a child of 1.
    const key = indexKey({ kind: 'execution', id: executionId(4) });
    await edit(file, `UPDATE lineage SET node = 3, leaf = 3 WHERE key = '${key}'`);
    await store.commit([change(leafBody(child(5, 4)))]);
    const ancestor = indexKey({ kind: 'ancestor', id: executionId(1) });
    expect((await dump(file)).filter((row) => row.key === ancestor).map(({ node }) => node)).toEqual([3, 4]);
    const entries = await store.leaves(0, 100);
    await store.close();
    await rebuild(file);
    expect(await dump(file)).toEqual(await inMemory(entries));
  });
});
