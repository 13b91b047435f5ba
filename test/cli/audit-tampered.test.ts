import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CheckpointMemory } from '../../src/agent/checkpoint-memory.ts';
import { StateDirectory } from '../../src/agent/state-directory.ts';
import {
  EMPTY_EDGE,
  appendLeaves,
  formatCheckpoint,
  formatNote,
  leafHash,
  noteSigner,
  signNote,
} from '../../src/audit/index.ts';
import type { NoteSigner } from '../../src/audit/index.ts';
import { Refusal, canonicalJson, fromUtf8, parseJsonObject, utf8 } from '../../src/base/index.ts';
import { VerifierClient, fetchConsistency } from '../../src/client/index.ts';
import { readKeyRing, verifierFiles } from '../../src/config/index.ts';
import { openSqlite } from '../../src/store/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from './remote.ts';

/*
 * Somebody who can write the verifier's database, and in the worst case has its keys, changes history. Each change is
 * looked for by the store's own check, by an auditor, by a monitor and by a host that remembers a checkpoint. A running
 * verifier shows the head that it wrote itself; here it shows the one of the database, as one with the thief's keys does.
 */
const remote = remoteVerifier();
const scratch = temporaryDirectory();
const ENTRIES = 600;
const origin = 'example.org/log';
const stateOf = (name: string): string => remote.profile().replace('.yaml', name);

type Db = ReturnType<typeof openSqlite>;
let db: Db;
let signer: NoteSigner;
let saved: {
  leaves: Uint8Array[];
  tiles: { level: number; position: number; bytes: Uint8Array }[];
  head: string;
};
let host: CheckpointMemory;
let state: StateDirectory;
let remembered: Uint8Array;

beforeAll(async () => {
  const { services } = remote.verifier().server;
  const file = path.join(remote.directory, 'sealgate.yaml');
  const ring = readKeyRing(verifierFiles(file, services.config));
  signer = noteSigner(origin, 'note', ring.privateKey('log'));
  await Promise.all(
    Array.from({ length: ENTRIES }, (_, i) =>
      services.ledger.commit({
        leaf: {
          ...{ v: 1, kind: 'operator', action: 'test', target: String(i), digest: null },
          by: { kind: 'verifier', id: 'test' },
        },
        ...{ preconditions: [], once: [], writes: [] },
        bodies: [{ sha256: i.toString(16).padStart(64, '0'), data: utf8(`body ${String(i)}`), keepUntil: 1 }],
      }),
    ),
  );
  db = openSqlite(verifierFiles(file, services.config).store);
  (services.store as { head: typeof services.store.head }).head = async () => {
    const { size, checkpoint } = await db.selectFrom('head').selectAll().executeTakeFirstOrThrow();
    return { size: String(size), checkpoint };
  };
  saved = {
    leaves: (await db.selectFrom('leaves').select('data').orderBy('position').execute()).map(({ data }) =>
      Uint8Array.from(data),
    ),
    tiles: (await db.selectFrom('tiles').selectAll().execute()).map((row) => ({
      ...row,
      bytes: Uint8Array.from(row.bytes),
    })),
    head: (await services.store.head())?.checkpoint ?? '',
  };
  // Auditor, monitor and host remember the log before it grows a little more and is changed.
  expect((await remote.json('audit', 'verify')).exit).toBe(0);
  expect((await remote.json('audit', 'monitor', '--once')).exit).toBe(0);
  for (const name of ['.checkpoint', '.monitor'])
    copyFileSync(stateOf(name), path.join(scratch, `good${name}`));
  remembered = new Uint8Array(readFileSync(stateOf('.checkpoint')));
  state = StateDirectory.create(path.join(scratch, 'host'));
  state.write('checkpoint', remembered);
  host = new CheckpointMemory(state, () => ({ log: [signer.key], succession: [] }));
});

afterEach(async () => {
  await put(saved.leaves, saved.tiles, saved.head);
  for (const name of ['.checkpoint', '.monitor'])
    copyFileSync(path.join(scratch, `good${name}`), stateOf(name));
  rmSync(stateOf('.monitor.offending'), { force: true });
  state.write('checkpoint', remembered);
});

/** Makes leaves, tiles and head what is given. */
async function put(
  leaves: readonly Uint8Array[],
  tiles: readonly { level: number; position: number; bytes: Uint8Array }[],
  checkpoint: string,
): Promise<void> {
  await db.transaction().execute(async (all) => {
    await all.deleteFrom('leaves').execute();
    await all.deleteFrom('tiles').execute();
    for (const [position, data] of leaves.entries())
      await all.insertInto('leaves').values({ position, data }).execute();
    for (const tile of tiles) await all.insertInto('tiles').values(tile).execute();
    await all.updateTable('head').set({ size: leaves.length, checkpoint }).execute();
  });
}

/** A whole other log of these entries, signed with the log's own key: what a thief of the key can do. */
async function putLog(leaves: readonly Uint8Array[]): Promise<void> {
  const rows = new Map<string, { level: number; position: number; bytes: Uint8Array }>();
  let edge = EMPTY_EDGE;
  let root = new Uint8Array();
  for (const leaf of leaves) {
    const grown = appendLeaves(edge, [leafHash(leaf)]);
    ({ edge } = grown);
    root = new Uint8Array(grown.root);
    for (const { level, index, bytes } of grown.tiles)
      rows.set(`${String(level)}/${String(index)}`, { level, position: Number(index), bytes });
  }
  const text = formatCheckpoint({ origin, size: BigInt(leaves.length), root });
  const note = formatNote({ text, signatures: [signNote(text, signer)] });
  await put(leaves, [...rows.values()], fromUtf8(note, 'note'));
}

/** The same entries where something was changed: each says its index again. */
function renumbered(leaves: readonly Uint8Array[]): Uint8Array[] {
  return leaves.map((leaf, i) => {
    const body = parseJsonObject(leaf, 'leaf', { maxBytes: 65_535 });
    return utf8(canonicalJson({ ...body, index: String(i) }));
  });
}

/** What each of the four says: a check id, or undefined when it finds nothing wrong. */
async function verdicts() {
  const file = path.join(remote.directory, 'sealgate.yaml');
  const store = JSON.parse((await cli('store', 'check', '--config', file, '--json')).stdout) as {
    findings: { check: string }[];
  };
  const verify = (await remote.json('audit', 'verify')).document as { denial: { check: string } | null };
  const monitor = (await remote.json('audit', 'monitor', '--once')).document as {
    alarms: { alarm: string }[];
  };
  return {
    store: [...new Set(store.findings.map(({ check }) => check))].filter((check) => check.startsWith('log-')),
    verify: verify.denial?.check,
    monitor: monitor.alarms[0]?.alarm,
    host: await hostSays(),
  };
}

/** A host follows the log from what it remembers, as with every answer. */
async function hostSays(): Promise<string | undefined> {
  const { address, services } = remote.verifier().server;
  const url = `https://localhost:${String(address.port)}`;
  await using client = await VerifierClient.connect({ url, caFingerprint: services.caFingerprint });
  try {
    const { size } = host.read();
    const { checkpoint, proof } = await fetchConsistency(client, size);
    host.advance(formatNote(checkpoint.note), proof);
    return undefined;
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

const edited = (leaf: Uint8Array): Uint8Array => utf8(fromUtf8(leaf, 'leaf').replace('"test"', '"tset"'));

describe('a log that was changed in the database', () => {
  it('is found in order when it wasn’t', async () => {
    expect(await verdicts()).toEqual({ store: [], verify: undefined, monitor: undefined, host: undefined });
  });

  it('an entry edited: by who reads entries; the tree itself still proves what was there', async () => {
    await put(
      saved.leaves.map((leaf, i) => (i === 300 ? edited(leaf) : leaf)),
      saved.tiles,
      saved.head,
    );
    const found = await verdicts();
    expect(found).toMatchObject({ verify: 'log-tile', host: undefined });
    expect(found.store).toContain('log-root');
    // A monitor that begins now reads all entries; one that went on had read the entry before it was edited.
    rmSync(stateOf('.monitor'));
    expect((await verdicts()).monitor).toBe('fork');
  });

  it('a hash tile edited: no proof through it verifies', async () => {
    const tiles = saved.tiles.map((row) =>
      row.level === 0 && row.position === 1
        ? { ...row, bytes: row.bytes.map((byte, i) => (i === 40 ? byte ^ 1 : byte)) }
        : row,
    );
    await put(saved.leaves, tiles, saved.head);
    const found = await verdicts();
    expect(found.store).toContain('log-tile');
    expect(found.verify).toBe('log-tile');
  });

  it('the head edited without the key', async () => {
    await put(saved.leaves, saved.tiles, saved.head.replace(/\n(\d+)\n/, '\n400\n'));
    expect(await verdicts()).toMatchObject({
      store: expect.arrayContaining(['log-signature']) as unknown,
      verify: 'log-signature',
      monitor: 'signature',
      host: 'log-signature',
    });
  });

  it.each([
    ['truncated and signed anew', () => saved.leaves.slice(0, 500), 'rollback'],
    [
      'reordered and signed anew',
      () =>
        renumbered([
          ...saved.leaves.slice(0, 100),
          ...saved.leaves.slice(200),
          ...saved.leaves.slice(100, 200),
        ]),
      'fork',
    ],
    [
      'with an entry taken out, signed anew',
      () => renumbered(saved.leaves.filter((_, i) => i !== 77)),
      'rollback',
    ],
    [
      'forked: another entry at the same place, as long as it was',
      () => saved.leaves.map((leaf, i) => (i === 599 ? edited(leaf) : leaf)),
      'fork',
    ],
  ])('%s: by everybody who remembers', async (_name, leaves, alarm) => {
    await putLog(leaves());
    const found = await verdicts();
    expect(found).toMatchObject({ verify: 'log-consistency', monitor: alarm });
    expect(found.store).toContain('log-behind');
    expect(found.host).toBeDefined();
    // Evidence is kept, and the alarm stays until somebody looks.
    expect(existsSync(stateOf('.monitor.offending'))).toBe(true);
    expect((await remote.json('audit', 'monitor', '--once')).exit).toBe(1);
  });

  it('a whole other history, shown to who remembers nothing: found with a checkpoint of somebody else', async () => {
    await putLog(saved.leaves.map((leaf, i) => (i === 5 ? edited(leaf) : leaf)));
    rmSync(stateOf('.checkpoint'));
    const theirs = path.join(scratch, 'theirs.checkpoint');
    writeFileSync(theirs, remembered);
    const alone = await remote.json('audit', 'verify');
    // Nothing proves it wrong, and the answer says that this was not checked.
    expect(alone).toMatchObject({ exit: 0, document: { unchecked: ['consistency'] } });
    rmSync(stateOf('.checkpoint'));
    expect(await remote.json('audit', 'verify', '--with', theirs)).toMatchObject({
      exit: 1,
      document: { denial: { check: 'log-consistency' } },
    });
  });

  it('kept evidence that was deleted breaks no proof', async () => {
    const before = await db.selectFrom('bodies').selectAll().execute();
    expect(before.length).toBeGreaterThanOrEqual(ENTRIES);
    await remote.verifier().server.services.store.forget(Date.now());
    expect((await db.selectFrom('bodies').selectAll().execute()).length).toBe(0);
    expect(await verdicts()).toEqual({ store: [], verify: undefined, monitor: undefined, host: undefined });
    const proof = path.join(scratch, 'p.tlog-proof');
    const leaf = path.join(scratch, 'p.json');
    expect((await remote.json('audit', 'prove', '300', '-o', proof, '--leaf', leaf)).exit).toBe(0);
  });
});
