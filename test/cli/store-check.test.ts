import { copyFileSync, readFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { sql } from 'kysely';
import { beforeAll, describe, expect, it } from 'vitest';
import { openSqlite } from '../../src/store/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { install, operatorTls, startVerifier } from '../support/verifier.ts';

const directory = path.join(temporaryDirectory(), 'v');
const data = path.join(directory, 'data');
const good = path.join(directory, 'good');
const config = path.join(directory, 'sealgate.yaml');
const ENTRIES = 301;

beforeAll(async () => {
  install(directory);
  const verifier = await startVerifier(directory);
  const { ledger } = verifier.server.services;
  // Over one full bundle of the log, by many at a time.
  await Promise.all(
    Array.from({ length: ENTRIES - 2 }, (_, i) =>
      ledger.commit({
        leaf: {
          ...{ v: 1, kind: 'operator', action: 'test', target: String(i), digest: null },
          by: { kind: 'verifier', id: 'test' },
        },
        preconditions: [],
        once: [],
        writes: [{ kind: 'test', id: `t${String(i)}`, body: { n: i } }],
        bodies: [],
      }),
    ),
  );
  const invited = await verifier.call({
    ...{ method: 'POST', url: '/v1/invitations', tls: operatorTls(directory) },
    body: {
      ...{ name: 'h', labels: {}, platform: 'p', ekTemplate: 'L-1', ek: null, host: null },
      ...{ restartCounters: false, needsApproval: false, ttlSeconds: 60 },
    },
  });
  expect(invited.status).toBe(201);
  await verifier.server.stop();
  mkdirSync(good);
  for (const name of readdirSync(data)) copyFileSync(path.join(data, name), path.join(good, name));
});

/** The good store alone: a write-ahead log that is left over would be replayed into it. */
function putBack(): void {
  for (const name of readdirSync(data)) rmSync(path.join(data, name));
  for (const name of readdirSync(good)) copyFileSync(path.join(good, name), path.join(data, name));
}

/** Runs the check after `change` was made to the database by somebody who can write it, and puts it back. */
async function after(...statements: string[]) {
  const db = openSqlite(path.join(data, 'store.db'));
  for (const statement of statements) await sql.raw(statement).execute(db);
  await db.destroy();
  const { exit, stdout } = await cli('store', 'check', '--config', config, '--json');
  putBack();
  return { exit, ...(JSON.parse(stdout) as { ok: boolean; findings: { check: string; reason: string }[] }) };
}

describe('sealgate store check', () => {
  it('finds a good store sound', async () => {
    const report = await after();
    expect(report).toMatchObject({
      exit: 0,
      ok: true,
      findings: [],
      entries: ENTRIES,
      origin: 'example.org/log',
    });
    const people = await cli('store', 'check', '--config', config);
    expect(people.exit).toBe(0);
    expect(people.stdout).toMatch(/^sound\n/);
  });

  it.each([
    ['a row edited', "UPDATE records SET body = '{\"n\":4711}' WHERE id = 't7'", 'record-forged'],
    [
      'two rows’ MACs swapped',
      "UPDATE records SET mac = (SELECT mac FROM records WHERE id = 't8') WHERE id = 't9'",
      'record-forged',
    ],
    [
      'a row of an older version',
      "UPDATE records SET version = version + 1 WHERE id = 't8'",
      'record-forged',
    ],
    [
      'an entry edited',
      'UPDATE leaves SET data = CAST(replace(CAST(data AS TEXT), \'"target":"5"\', \'"target":"6"\') AS BLOB) WHERE position < 40',
      'log-root',
    ],
    ['an entry taken out', 'DELETE FROM leaves WHERE position = 100', 'log-root'],
    ['the newest entry taken away', `DELETE FROM leaves WHERE position = ${String(ENTRIES - 1)}`, 'log-root'],
    ['an entry that isn’t one', "UPDATE leaves SET data = x'7b7d' WHERE position = 3", 'malformed'],
    [
      'a hash tile edited',
      'UPDATE tiles SET bytes = zeroblob(length(bytes)) WHERE level = 0 AND position = 0',
      'log-tile',
    ],
    [
      'a partial tile edited',
      'UPDATE tiles SET bytes = zeroblob(length(bytes)) WHERE level = 0 AND position = 1',
      'log-tile',
    ],
    ['a tile gone', 'DELETE FROM tiles WHERE level = 1', 'log-tile'],
    ['a head of another size', 'UPDATE head SET size = size - 1', 'log-root'],
    [
      'a head that nobody signed',
      "UPDATE head SET checkpoint = replace(checkpoint, 'example.org/log', 'example.net/log')",
      'log-origin',
    ],
    ['no head', 'DELETE FROM head', 'log-root'],
    ['the log of another origin', "UPDATE meta SET value = 'other/log' WHERE name = 'origin'", 'log-origin'],
  ])('finds %s', async (_name, statement, check) => {
    const report = await after(statement);
    expect(report).toMatchObject({ exit: 1, ok: false });
    expect(report.findings.map((one) => one.check)).toContain(check);
  });

  it('finds a whole store of yesterday by the high-water file', async () => {
    const file = path.join(directory, 'high-water');
    const text = readFileSync(file, 'utf8');
    const report = await after(`DELETE FROM leaves WHERE position >= 256`);
    expect(report.findings.map(({ check }) => check)).toContain('log-behind');
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('finds a damaged file', async () => {
    const file = path.join(data, 'store.db');
    const bytes = readFileSync(file);
    bytes.fill(0xff, 8192, 9000);
    writeFileSync(file, bytes);
    const { exit, stdout } = await cli('store', 'check', '--config', config, '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false });
    putBack();
  });

  it('makes no store where there is none', async () => {
    const other = path.join(temporaryDirectory(), 'w');
    install(other);
    const { exit } = await cli('store', 'check', '--config', path.join(other, 'sealgate.yaml'));
    expect(exit).toBe(2);
    expect(readdirSync(path.join(other, 'data'))).toEqual([]);
  });
});
