import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseCheckpoint, readLog } from '../../src/audit/index.ts';
import type { ReadingState } from '../../src/audit/index.ts';
import { directoryLog } from '../../src/cli/directory-log.ts';
import { writeState } from '../../src/cli/reading-state.ts';
import { logVkey } from '../../src/server/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from './remote.ts';

const remote = remoteVerifier();
const scratch = temporaryDirectory();
const at = (name: string): string => path.join(scratch, name);
const beside = (name: string): string => remote.profile().replace('.yaml', name);
const vkey = () => logVkey(remote.verifier().server.services);

async function grow(count: number, action = 'test'): Promise<void> {
  const { ledger } = remote.verifier().server.services;
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      ledger.commit({
        leaf: {
          ...{ v: 1, kind: 'operator', action, target: String(i), digest: null },
          by: { kind: 'verifier', id: 'test' },
        },
        ...{ preconditions: [], once: [], writes: [], bodies: [] },
      }),
    ),
  );
}

beforeAll(async () => {
  await grow(599);
});
afterEach(() => {
  for (const name of ['.checkpoint', '.monitor', '.monitor.offending', '.audit-state'])
    rmSync(beside(name), { force: true });
});

async function offline(directory: string, ...more: string[]) {
  const { exit, stdout } = await cli(
    'audit',
    'verify',
    '--from',
    directory,
    '--log-key',
    vkey(),
    ...more,
    '--json',
  );
  return { exit, ...(JSON.parse(stdout) as Record<string, unknown>) };
}

describe('sealgate audit export', () => {
  it('is verified offline, and goes on where it ended', async () => {
    const directory = at('export');
    expect(await remote.json('audit', 'export', '-o', directory)).toMatchObject({
      exit: 0,
      document: { ok: true, from: '0', to: '600' },
    });
    expect(await offline(directory)).toMatchObject({
      exit: 0,
      entries: { from: '0', to: '600', kinds: { opening: 1, operator: 599 } },
      unchecked: ['consistency'],
    });
    await grow(10);
    expect(await remote.json('audit', 'export', '-o', directory)).toMatchObject({
      document: { from: '600', to: '610' },
    });
    expect(await offline(directory)).toMatchObject({ exit: 0, checkpoint: { size: '610' } });
    // An export of another log, and a directory that isn't one.
    writeFileSync(
      path.join(directory, 'checkpoint'),
      readFileSync(path.join(directory, 'checkpoint'), 'utf8').replace('610', '609'),
    );
    expect(await remote.json('audit', 'export', '-o', directory)).toMatchObject({
      exit: 1,
      document: { ok: false },
    });
    writeFileSync(at('file.txt'), '');
    expect(await remote.json('audit', 'export', '-o', scratch)).toMatchObject({
      exit: 1,
      document: { denial: { check: 'audit-export' } },
    });
  });

  it('that was changed afterwards is refused', async () => {
    const directory = at('changed');
    expect((await remote.run('audit', 'export', '-o', directory)).exit).toBe(0);
    const bundle = path.join(directory, 'tile/entries/000');
    const good = readFileSync(bundle);
    writeFileSync(
      bundle,
      Buffer.from(good.toString('latin1').replace('"target":"7"', '"target":"8"'), 'latin1'),
    );
    expect(await offline(directory)).toMatchObject({ exit: 1, denial: { check: 'log-tile' } });
    writeFileSync(bundle, good.subarray(0, 3000));
    expect((await offline(directory)).exit).toBe(1);
    rmSync(bundle);
    expect(await offline(directory)).toMatchObject({ exit: 1, denial: { check: 'log-tile' } });
    writeFileSync(bundle, good);
    const tile = path.join(directory, 'tile/0/001');
    writeFileSync(tile, Buffer.concat([readFileSync(tile), Buffer.alloc(32)]));
    expect((await offline(directory)).exit).toBe(1);
    expect((await cli('audit', 'verify', '--from', at('nowhere'), '--log-key', vkey())).exit).toBe(2);
  });
});

describe('an interrupted reading', () => {
  it('goes on where it stopped, and what was remembered proves nothing', async () => {
    const directory = at('resumed');
    expect((await remote.run('audit', 'export', '-o', directory)).exit).toBe(0);
    const state = at('state.json');
    const source = directoryLog(directory);
    const { claimed } = parseCheckpoint(new Uint8Array(readFileSync(path.join(directory, 'checkpoint'))));
    const states: ReadingState[] = [];
    await readLog(source, claimed, { onProgress: (one) => states.push(one) });
    const [half] = states;
    if (half === undefined) throw new Error('there was no progress');
    const of = { origin: 'example.org/log', what: 'entries' } as const;
    writeState(state, of, half);
    const resumed = await offline(directory, '--state', state);
    expect(resumed).toMatchObject({ exit: 0, resumed: '256', entries: { to: String(claimed.size) } });
    expect(existsSync(state)).toBe(false);
    // A state that leads elsewhere costs a second reading, nothing more.
    const [first = new Uint8Array(), ...others] = half.edge.frontier;
    const wrong = { ...half, edge: { ...half.edge, frontier: [first.map((byte) => byte ^ 1), ...others] } };
    writeState(state, of, wrong);
    expect(await offline(directory, '--state', state)).toMatchObject({ exit: 0, resumed: null });
    writeState(state, of, half);
    expect(await offline(directory, '--state', state, '--restart')).toMatchObject({ exit: 0, resumed: null });
    writeState(state, { ...of, origin: 'other/log' }, half);
    expect(await offline(directory, '--state', state)).toMatchObject({ exit: 0, resumed: null });
    for (const broken of ['{}', '{"v":1', JSON.stringify({ v: 1, origin: 'x' })]) {
      writeFileSync(state, broken);
      expect((await offline(directory, '--state', state)).exit).toBe(1);
    }
    writeState(state, of, { ...half, edge: { ...half.edge, size: 255n } });
    expect(await offline(directory, '--state', state)).toMatchObject({
      exit: 1,
      denial: { check: 'audit-state' },
    });
  });
});

describe('sealgate audit monitor', () => {
  const look = (...more: string[]) => remote.json('audit', 'monitor', '--once', ...more);

  it('reads what is new, and alarms for what it is told to', async () => {
    expect(await look()).toMatchObject({ exit: 0, document: { ok: true, alarms: [], evidence: null } });
    expect((await look()).document).toMatchObject({ entries: 0 });
    await grow(3, 'secret-put');
    const metrics = at('sealgate.prom');
    const found = await look('--alarm-on', 'kind=operator,action=secret-put', '--metrics', metrics);
    expect(found).toMatchObject({ exit: 1, document: { ok: false, entries: 3 } });
    expect(found.document['alarms']).toHaveLength(3);
    expect(readFileSync(metrics, 'utf8')).toMatch(
      /^sealgate_monitor_alarms\{origin="example\.org\/log",alarm="entry"\} 3$/m,
    );
    // They were told once.
    expect((await look('--alarm-on', 'action=secret-put')).exit).toBe(0);
    await grow(1, 'surprise');
    expect(await look('--expect', 'action=test', '--expect', 'kind=decision')).toMatchObject({
      exit: 1,
      document: { alarms: [{ alarm: 'entry', check: 'monitor-entry' }] },
    });
    await grow(1, 'test');
    expect((await look('--expect', 'kind!=decision,by.kind=verifier')).exit).toBe(0);
    expect((await remote.run('audit', 'monitor', '--once', '--alarm-on', 'nonsense')).exit).toBe(2);
    expect((await remote.run('audit', 'monitor', '--once')).stdout).toMatch(/^\d+ entries, 0 new\n$/);
  });

  it('alarms for a log that stands still, and for one that can’t be reached', async () => {
    expect((await look('--max-age', '3600')).exit).toBe(0);
    // Nothing is new for the next process, and the newest entry is as old as it was.
    expect(await look('--max-age', '3600')).toMatchObject({ exit: 0, document: { entries: 0 } });
    const directory = at('still');
    expect((await remote.run('audit', 'export', '-o', directory)).exit).toBe(0);
    const still = ['--from', directory, '--state', at('still.monitor'), '--max-age', '3600'] as const;
    expect(await look(...still)).toMatchObject({ exit: 0 });
    expect(await look(...still)).toMatchObject({ exit: 0, document: { entries: 0 } });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(await look('--max-age', '1')).toMatchObject({
      exit: 1,
      document: { alarms: [{ alarm: 'stale' }] },
    });
    const file = at('gone.yaml');
    writeFileSync(
      file,
      readFileSync(remote.profile(), 'utf8')
        .replace(/localhost:\d+/, 'localhost:1')
        .replace(/^(certificate|key):.*$/gm, ''),
      {
        mode: 0o600,
      },
    );
    const { exit, stdout } = await cli('audit', 'monitor', '--once', '--profile', file, '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ alarms: [{ alarm: 'unreachable' }], checkpoint: null });
  });

  it('goes on until it is told to end, a document a look', async () => {
    const running = cli('audit', 'monitor', '--interval', '1', '--profile', remote.profile(), '--json');
    await new Promise((resolve) => setTimeout(resolve, 2500));
    process.emit('SIGTERM', 'SIGTERM');
    const { exit, stdout } = await running;
    expect(exit).toBe(0);
    const looks = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { ok: boolean });
    expect(looks.length).toBeGreaterThanOrEqual(2);
    expect(looks.every(({ ok }) => ok)).toBe(true);
  });

  it('demands witnesses where it is told to', async () => {
    const policy = at('witness.policy');
    const key = vkey().replace(/^[^+]+/, 'w');
    writeFileSync(policy, `quorum none\n`);
    expect((await look('--witnesses', policy)).exit).toBe(0);
    writeFileSync(policy, `witness w ${key}\nquorum w\n`);
    expect((await remote.run('audit', 'monitor', '--once', '--witnesses', policy)).exit).toBe(1);
  });
});

describe('sealgate audit tail --follow', () => {
  it('prints entries as they come, one document a line', async () => {
    const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
    const argv = [
      '--import',
      'tsx',
      main,
      'audit',
      'tail',
      '-n',
      '1',
      '--follow',
      '--json',
      '--profile',
      remote.profile(),
    ];
    const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const next = async () => {
        const { value } = (await lines.next()) as { value?: string };
        return JSON.parse(value ?? '') as { index: string; action: string };
      };
      const first = await next();
      await grow(2, 'followed');
      const [second, third] = [await next(), await next()];
      expect([second.action, third.action]).toEqual(['followed', 'followed']);
      expect(Number(second.index)).toBe(Number(first.index) + 1);
      expect(Number(third.index)).toBe(Number(first.index) + 2);
    } finally {
      child.kill();
    }
  });
});
