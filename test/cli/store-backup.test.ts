import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openSqlite } from '../../src/store/index.ts';
import { dropDamagedBodies } from '../../src/store/damaged-bodies.ts';
import { openDatabase } from '../../src/store/database.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, operatorTls, startVerifier } from '../support/verifier.ts';
import type { TestVerifier } from '../support/verifier.ts';

const root = temporaryDirectory();
const directory = path.join(root, 'v');
const config = path.join(directory, 'sealgate.yaml');
const data = path.join(directory, 'data');
const store = path.join(data, 'store.db');
const highWater = path.join(directory, 'high-water');
/** The installation's files as they are after the newer of two backups. */
const kept = path.join(root, 'kept');
const older = path.join(root, 'older.db');
const newer = path.join(root, 'newer.db');

type Ledger = TestVerifier['server']['services']['ledger'];

/** What a command answered; the others as they are there. */
interface Answer {
  readonly exit: number;
  readonly entries: number;
  readonly epoch: string;
  readonly checkpoint: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly replaced: string;
  readonly warnings: readonly string[];
  readonly denial: { readonly check: string; readonly reason: string; readonly remedy: string };
}

const commitTo = async (ledger: Ledger, id: string) =>
  await ledger.commit({
    leaf: {
      ...{ v: 1, kind: 'operator', action: 'test', target: id, digest: null },
      by: { kind: 'verifier', id: 'test' },
    },
    preconditions: [],
    once: [{ kind: 'nonce', id, expires: 2e12, check: 'replay-nonce', reason: 'used' }],
    writes: [{ kind: 'test', id, body: { id } }],
    bodies: [bodyOf(id)],
  });

const bodyOf = (id: string) => ({
  sha256: createHash('sha256').update(id).digest('hex'),
  data: new Uint8Array(Buffer.from(id)),
  keepUntil: 2e12,
});

async function json(...argv: string[]): Promise<Answer> {
  const { exit, stdout } = await cli(...argv, '--config', config, '--json');
  return { ...(JSON.parse(stdout === '' ? '{}' : stdout) as Answer), exit };
}
const backUp = (file: string) => json('store', 'backup', '-o', file);
const restore = (file: string, ...flags: string[]) => json('store', 'restore', file, ...flags);

let first: Awaited<ReturnType<typeof backUp>>;
let token: { readonly status: number };

beforeAll(async () => {
  install(directory);
  const verifier = await startVerifier(directory);
  const { ledger } = verifier.server.services;
  for (let i = 0; i < 20; i++) await commitTo(ledger, `a${String(i)}`);
  token = await verifier.call({
    ...{ method: 'POST', url: '/v1/invitations', tls: operatorTls(directory) },
    body: {
      ...{ name: 'h', labels: {}, platform: 'p', ekTemplate: 'L-1', ek: null, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: 600 },
    },
  });
  // Beside the verifier, while it commits.
  const meanwhile = Promise.all(Array.from({ length: 40 }, (_, i) => commitTo(ledger, `b${String(i)}`)));
  first = await backUp(older);
  await meanwhile;
  await commitTo(ledger, 'c');
  await verifier.server.stop();
  await backUp(newer);
  // One file, as a restore makes it before it looks.
  await openSqlite(store, 'DELETE').destroy();
  mkdirSync(kept);
  for (const name of readdirSync(data)) copyFileSync(path.join(data, name), path.join(kept, name));
  copyFileSync(highWater, path.join(root, 'high-water'));
});

afterEach(() => {
  for (const name of readdirSync(data)) rmSync(path.join(data, name), { recursive: true });
  for (const name of readdirSync(kept)) copyFileSync(path.join(kept, name), path.join(data, name));
  copyFileSync(path.join(root, 'high-water'), highWater);
});

/** The store in place, byte for byte, and nothing left beside it. */
function expectUntouched(): void {
  expect(readFileSync(store).equals(readFileSync(path.join(kept, 'store.db')))).toBe(true);
  expect(readdirSync(data).filter((name) => /restore|replaced/.test(name))).toEqual([]);
}

/** A copy of the newer backup with something done to it. */
async function edited(...statements: string[]): Promise<string> {
  const file = path.join(root, `${randomBytes(6).toString('hex')}.db`);
  copyFileSync(newer, file);
  const db = openSqlite(file, 'DELETE');
  for (const statement of statements) await sql.raw(statement).execute(db);
  await db.destroy();
  return file;
}

/** Serves for a moment: what came of the start. */
async function serves(): Promise<string> {
  try {
    const verifier = await startVerifier(directory);
    await verifier.server.stop();
    return 'served';
  } catch (error) {
    return (error as { readonly check: string }).check;
  }
}

describe('sealgate store backup', () => {
  it('copies one moment beside a verifier that commits, checked, for its owner alone', () => {
    expect(token.status).toBe(201);
    expect(first).toMatchObject({ exit: 0, ok: true, denial: null, file: older });
    expect(first.entries).toBeGreaterThanOrEqual(22);
    expect(first.checkpoint).toContain(`example.org/log\n${String(first.entries)}\n`);
    expect(first.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(first.bytes).toBe(statSync(older).size);
    expect(statSync(older).mode & 0o777).toBe(0o600);
    expect(readdirSync(root).filter((name) => name.startsWith('older.db'))).toEqual(['older.db']);
  });

  it('never writes over a file, and says which', async () => {
    const before = readFileSync(older);
    const { exit, stderr } = await cli('store', 'backup', '-o', older, '--config', config);
    expect(exit).toBe(2);
    expect(stderr).toContain('exists: nothing was written');
    expect(readFileSync(older).equals(before)).toBe(true);
    expect((await cli('store', 'backup', '-o', '/nowhere/x.db', '--config', config)).exit).toBe(2);
    expect((await cli('store', 'backup', '--config', config)).exit).toBe(2);
  });

  it.each([
    ['an edited row', `UPDATE records SET body = '{"id":"b"}' WHERE id = 'a3'`, 'store-backup'],
    [
      'a trigger of somebody else',
      'CREATE TRIGGER t AFTER INSERT ON leaves BEGIN DELETE FROM once; END',
      'store-backup',
    ],
    ['no log', 'DELETE FROM head', 'store-backup'],
  ])('gives no name to a copy with %s', async (_, statement, check) => {
    const db = openSqlite(store);
    await sql.raw(statement).execute(db);
    await db.destroy();
    const file = path.join(root, 'bad.db');
    expect(await backUp(file)).toMatchObject({ exit: 1, ok: false, denial: { check } });
    expect(readdirSync(root).filter((name) => name.startsWith('bad.db'))).toEqual([]);
  });

  it('takes no backup of a store that is behind the high-water file', async () => {
    for (const name of readdirSync(data)) rmSync(path.join(data, name));
    copyFileSync(older, store);
    const file = path.join(root, 'behind.db');
    expect(await backUp(file)).toMatchObject({ exit: 1, denial: { check: 'log-behind' } });
    expect(existsSync(file)).toBe(false);
  });
});

describe('a command that was killed', () => {
  /** Begins as the commands do, with a copy in the clear, and waits. */
  async function maker(file: string) {
    const script = `import { withDirectoryBeside } from ${JSON.stringify(path.resolve('src/cli/private-directory.ts'))};
      import { writeFileSync } from 'node:fs';
      await withDirectoryBeside(process.argv[1], async (directory) => {
        writeFileSync(directory + '/store.db', 'in the clear');
        console.log(directory);
        await new Promise((resolve) => setTimeout(resolve, 60_000));
      });`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, file]);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { child, directory: line.toString().trim() };
  }

  it('leaves a directory that nobody else can enter, and that the next command of any kind removes', async () => {
    const folder = path.join(root, 'backups');
    mkdirSync(folder);
    const { child, directory: left } = await maker(path.join(folder, 'monday.db'));
    expect(statSync(left).mode & 0o777).toBe(0o700);
    // While it is at work nobody takes its directory away.
    expect(await backUp(path.join(folder, 'tuesday.db'))).toMatchObject({ exit: 0 });
    expect(readdirSync(left)).toContain('store.db');
    expect(await backUp(path.join(folder, 'monday.db'))).toMatchObject({ exit: 2 });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readdirSync(left)).toContain('store.db');
    expect(await backUp(path.join(folder, 'wednesday.db'))).toMatchObject({ exit: 0 });
    expect(readdirSync(folder)).toEqual(['tuesday.db', 'wednesday.db']);
  });

  it('and never what a link or a file of such a name is', async () => {
    const folder = path.join(root, 'linked');
    mkdirSync(folder);
    mkdirSync(path.join(root, 'precious'));
    writeFileSync(path.join(root, 'precious/x'), 'kept');
    symlinkSync(path.join(root, 'precious'), path.join(folder, 'a.sealgate-making'));
    writeFileSync(path.join(folder, 'b.sealgate-making'), 'kept');
    expect(await backUp(path.join(folder, 'c.db'))).toMatchObject({ exit: 0 });
    expect(existsSync(path.join(root, 'precious/x'))).toBe(true);
    expect(existsSync(path.join(folder, 'b.sealgate-making'))).toBe(true);
  });
});

describe('sealgate store restore', () => {
  it('puts a lost store back; the verifier goes on, and what was given out before is void', async () => {
    for (const name of readdirSync(data)) rmSync(path.join(data, name));
    const restored = await restore(newer);
    expect(restored).toMatchObject({ exit: 0, ok: true, replaced: null, rollback: false, warnings: [] });
    expect(restored.epoch).not.toBe(first.epoch);
    expect(statSync(store).mode & 0o777).toBe(0o600);
    expect(await json('store', 'check')).toMatchObject({
      ...{ exit: 0, ok: true, entries: restored.entries, epoch: restored.epoch },
    });
    const verifier = await startVerifier(directory);
    expect(verifier.server.services.epoch).toBe(restored.epoch);
    expect(await commitTo(verifier.server.services.ledger, 'd')).toMatchObject({
      ok: true,
      index: String(restored.entries),
    });
    // Ids that worked once are still spent.
    expect(await commitTo(verifier.server.services.ledger, 'd')).toMatchObject({ ok: false });
    await verifier.server.stop();
  });

  it('keeps the store that was in place', async () => {
    const restored = await restore(newer);
    expect(restored).toMatchObject({ exit: 0, rollback: false });
    const { replaced } = restored;
    expect(readFileSync(replaced).equals(readFileSync(path.join(kept, 'store.db')))).toBe(true);
    expect(await serves()).toBe('served');
  });

  it.each([
    ['an edited record', `UPDATE records SET body = '{"id":"b"}' WHERE id = 'a3'`],
    ['a record taken out', `DELETE FROM records WHERE id = 'a3'`],
    ['a spent id taken out', `DELETE FROM once WHERE id = 'a3'`],
    ['its newest entry taken away', 'DELETE FROM leaves WHERE position = (SELECT max(position) FROM leaves)'],
    ['another epoch', `UPDATE meta SET value = 'e' WHERE name = 'epoch'`],
    ['no head', 'DELETE FROM head'],
    ['a hash tile edited', 'UPDATE tiles SET bytes = zeroblob(length(bytes))'],
    ['kept evidence edited', 'UPDATE bodies SET data = zeroblob(length(data))'],
    ['kept evidence cut short', 'UPDATE bodies SET data = substr(data, 2)'],
    ['a trigger', 'CREATE TRIGGER t AFTER INSERT ON leaves BEGIN DELETE FROM once; END'],
    [
      'a view for a table',
      'ALTER TABLE once RENAME TO o; CREATE VIEW once AS SELECT * FROM o WHERE expires > 0',
    ],
  ])('refuses a backup with %s', async (_, statement) => {
    const file = await edited(...statement.split(/;\s(?=CREATE VIEW)/));
    expect(await restore(file, '--accept-rollback')).toMatchObject({
      ...{ exit: 1, ok: false, denial: { check: 'store-backup' } },
    });
    expectUntouched();
  });

  it('leaves damaged evidence out where it is told to, and says which', async () => {
    const [digest] = [bodyOf('a3').sha256];
    const damage = `UPDATE bodies SET data = zeroblob(length(data)) WHERE sha256 = '${digest}'`;
    const flag = '--drop-damaged-evidence';
    const warnings = [`evidence was damaged and is left out: sha256:${digest}`];
    expect(await restore(await edited(damage), flag)).toMatchObject({ exit: 0, ok: true, warnings });
    expect(await json('store', 'check')).toMatchObject({ exit: 0, findings: [] });
    // Another backup of it is sound, and has what was not damaged.
    const file = path.join(root, 'mended.db');
    expect(await json('store', 'backup', '-o', file, flag)).toMatchObject({ exit: 0, warnings: [] });
    const db = openSqlite(file);
    const left = await db.selectFrom('bodies').select('sha256').execute();
    await db.destroy();
    expect(left.length).toBeGreaterThan(1);
    expect(left.map(({ sha256 }) => sha256)).not.toContain(digest);
  });

  it('and not what a record names, which still decides', async () => {
    const { sha256 } = bodyOf('a3');
    const named = `UPDATE bodies SET sha256 = '${sha256.slice(0, 60)}0000' WHERE sha256 = '${sha256}'`;
    // Bytes under another digest than theirs: left out, until a record names that digest.
    const file = await edited(named);
    const db = openSqlite(file, 'DELETE');
    expect(await dropDamagedBodies(db, () => undefined)).toHaveLength(1);
    await db.destroy();
    const again = await edited(named);
    const other = openSqlite(again, 'DELETE');
    await sql
      .raw(`UPDATE records SET body = '{"bundle":"sha256:${sha256.slice(0, 60)}0000"}' WHERE id = 'a4'`)
      .execute(other);
    expect(await dropDamagedBodies(other, () => undefined)).toEqual([]);
    await other.destroy();
  });

  it('and not with what decides', async () => {
    const damage = 'UPDATE bodies SET data = zeroblob(length(data))';
    const both = await edited(damage, `UPDATE records SET body = '{"id":"b"}' WHERE id = 'a3'`);
    expect(await restore(both, '--drop-damaged-evidence')).toMatchObject({
      ...{ exit: 1, denial: { check: 'store-backup' } },
    });
    expectUntouched();
  });

  it('refuses a backup that is cut short, garbage or empty, and what is no file', async () => {
    const file = path.join(root, 'cut.db');
    for (const cut of [0, 100, 4096, statSync(newer).size - 4096, statSync(newer).size - 1]) {
      copyFileSync(newer, file);
      truncateSync(file, cut);
      expect(await restore(file), String(cut)).toMatchObject({ exit: 1, denial: { check: 'store-backup' } });
    }
    writeFileSync(file, randomBytes(20_000));
    expect(await restore(file)).toMatchObject({ exit: 1, denial: { check: 'store-backup' } });
    expect((await cli('store', 'restore', root, '--config', config)).exit).toBe(2);
    expect((await cli('store', 'restore', path.join(root, 'none'), '--config', config)).exit).toBe(2);
    expectUntouched();
  });

  it('refuses a backup of tables of another version', async () => {
    const file = await edited(`UPDATE meta SET value = '99' WHERE name = 'schema'`);
    expect(await restore(file)).toMatchObject({ exit: 1, denial: { check: 'store-version' } });
    expectUntouched();
  });

  it('refuses another verifier’s backup, of the same origin even', async () => {
    const other = path.join(root, 'w');
    install(other);
    const verifier = await startVerifier(other);
    for (let i = 0; i < 80; i++) await commitTo(verifier.server.services.ledger, `x${String(i)}`);
    await verifier.server.stop();
    const file = path.join(root, 'other.db');
    const made = await cli('store', 'backup', '-o', file, '--config', path.join(other, 'sealgate.yaml'));
    expect(made.exit).toBe(0);
    expect(await restore(file, '--accept-rollback')).toMatchObject({
      ...{ exit: 1, denial: { check: 'store-backup' } },
    });
    expectUntouched();
  });

  it('refuses while the verifier runs, and so does a second verifier', async () => {
    const verifier = await startVerifier(directory);
    expect(await restore(newer, '--accept-rollback')).toMatchObject({
      ...{ exit: 1, denial: { check: 'store-in-use' } },
    });
    expect(await commitTo(verifier.server.services.ledger, 'e')).toMatchObject({ ok: true });
    await expect(startVerifier(directory)).rejects.toMatchObject({ check: 'store-in-use' });
    await verifier.server.stop();
  });

  it('refuses while anything else has the database open', async () => {
    const other = openDatabase(store);
    other.exec('PRAGMA journal_mode = WAL; SELECT * FROM head');
    expect(await restore(newer)).toMatchObject({ exit: 1, denial: { check: 'store-in-use' } });
    other.close();
    expect(await restore(newer)).toMatchObject({ exit: 0 });
  });

  it('refuses an older log over a newer one, and says what is lost', async () => {
    const refused = await restore(older);
    expect(refused).toMatchObject({ exit: 1, ok: false, denial: { check: 'store-rollback' } });
    const { reason, remedy } = refused.denial;
    expect(reason).toMatch(/the high-water file has \d+ entries, the backup \d+/);
    expect(reason).toMatch(/the store in place has \d+ entries, the backup \d+/);
    expect(remedy).toContain('revocations');
    expectUntouched();
  });

  it.each([
    ['the high-water file alone', true, false],
    ['the store in place alone', false, true],
    ['nothing at all', false, false],
  ])('refuses an older log where what knows of a newer one is %s', async (_, file, inPlace) => {
    if (!file) rmSync(highWater);
    if (!inPlace) for (const name of readdirSync(data)) rmSync(path.join(data, name));
    expect(await restore(older)).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
  });

  it('refuses where the store in place can’t be read, so nobody knows how long its log is', async () => {
    writeFileSync(store, randomBytes(20_000));
    expect(await restore(newer)).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
    const restored = await restore(newer, '--accept-rollback');
    expect(restored).toMatchObject({ exit: 0, rollback: true });
    expect(statSync(restored.replaced).size).toBe(20_000);
    expect(await serves()).toBe('served');
  });

  it('refuses a high-water file that nobody signed', async () => {
    writeFileSync(highWater, readFileSync(highWater, 'utf8').replace('example.org/log', 'example.net/log'));
    expect(await restore(newer)).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
  });

  it('refuses a log of as many entries and another history', async () => {
    // The older store goes on by itself, as long as the newer log is: what a rolled back verifier would make.
    for (const name of readdirSync(data)) rmSync(path.join(data, name));
    copyFileSync(older, store);
    rmSync(highWater);
    const verifier = await startVerifier(directory);
    for (let i = 0; i < 60; i++) await commitTo(verifier.server.services.ledger, `fork${String(i)}`);
    await verifier.server.stop();
    const fork = path.join(root, 'fork.db');
    expect(await backUp(fork)).toMatchObject({ exit: 0 });
    for (const name of readdirSync(kept)) copyFileSync(path.join(kept, name), path.join(data, name));
    copyFileSync(path.join(root, 'high-water'), highWater);
    const refused = await restore(fork);
    expect(refused).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
    expect(refused.denial.reason).toContain('of another history');
  });

  it('puts an older log in place when told to, says so, and serve refuses it', async () => {
    const text = readFileSync(highWater);
    const restored = await restore(older, '--accept-rollback');
    expect(restored).toMatchObject({ exit: 0, rollback: true, entries: first.entries });
    expect(JSON.stringify(restored.warnings)).toMatch(/rolled back: .*revocations/);
    expect(readFileSync(highWater).equals(text)).toBe(true);
    expect(await serves()).toBe('log-behind');
    // And the newer one is still there to be brought back.
    const back = await restore(newer);
    expect(back).toMatchObject({ exit: 0, rollback: false });
    expect(await serves()).toBe('served');
  });

  it('remembers what it rolls back outside the store, where nothing did before', async () => {
    const old = (await restore(older, '--accept-rollback')).checkpoint;
    for (const before of [undefined, old]) {
      for (const name of readdirSync(kept)) copyFileSync(path.join(kept, name), path.join(data, name));
      if (before === undefined) rmSync(highWater);
      else writeFileSync(highWater, before);
      expect(await restore(older, '--accept-rollback')).toMatchObject({ exit: 0, rollback: true });
      expect(await serves()).toBe('log-behind');
    }
  });

  it('refuses where the store in place has entries and no head, and only an old checkpoint is remembered', async () => {
    writeFileSync(highWater, (await restore(older, '--accept-rollback')).checkpoint);
    for (const name of readdirSync(kept)) copyFileSync(path.join(kept, name), path.join(data, name));
    const db = openSqlite(store, 'DELETE');
    await sql`DELETE FROM head`.execute(db);
    await db.destroy();
    expect(await restore(older)).toMatchObject({ exit: 1, denial: { check: 'store-rollback' } });
  });

  it('says that a witness may have cosigned more, also when only the store in place tells', async () => {
    const db = openSqlite(store, 'DELETE');
    await sql`INSERT INTO witnessed (origin, version, size, root, mac) VALUES ('elsewhere.example/log', 1, '3', 'x', zeroblob(32))`.execute(
      db,
    );
    await db.destroy();
    const restored = await restore(newer);
    expect(restored).toMatchObject({ exit: 0, rollback: false });
    expect(restored.warnings.join()).toContain('witness key');
  });

  it('goes on as a witness from what the store in place cosigned last', async () => {
    const verifier = await startVerifier(directory);
    const origin = 'elsewhere.example/log';
    const next = { size: 7n, root: new Uint8Array(32).fill(7) };
    expect(await verifier.server.services.store.witness({ origin, before: undefined, next })).toBe(true);
    const newest = path.join(root, 'newest.db');
    expect(await backUp(newest)).toMatchObject({ exit: 0 });
    const later = { size: 9n, root: new Uint8Array(32).fill(9) };
    expect(await verifier.server.services.store.witness({ origin, before: next, next: later })).toBe(true);
    await verifier.server.stop();
    expect(await restore(newest)).toMatchObject({ exit: 0, rollback: false });
    const again = await startVerifier(directory);
    expect(await again.server.services.store.witnessed(origin)).toEqual(later);
    await again.server.stop();
  });

  it('leaves a rolled back store that store check doesn’t find sound', async () => {
    expect(await restore(older, '--accept-rollback')).toMatchObject({ exit: 0, rollback: true });
    expect(await json('store', 'check')).toMatchObject({ exit: 1, findings: [{ check: 'log-behind' }] });
  });
});
