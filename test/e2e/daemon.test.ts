import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { DaemonWorld, passable } from './daemon-world.ts';

// Each command is a process that loads the whole program.
vi.setConfig({ testTimeout: 120_000 });

// The main job as an installation does it: verifier, agent and `sealgate run` are processes of their own.
const directory = passable(temporaryDirectory());
let world: DaemonWorld;
beforeAll(async () => {
  world = await DaemonWorld.start(directory, 30);
}, 180_000);
afterAll(async () => {
  await world.stop();
  execFileSync('umount', [world.credentials]);
});

const WAITING = '#!/bin/sh\necho ready\nwhile :; do sleep 0.05; done\n';
const credential = ['--credential', 'workload'];

/** Its state at the verifier. */
const shown = async (executionId: unknown) => await world.operate('exec', 'show', String(executionId));
const executionOf = (report: Record<string, unknown>) =>
  (report['report'] as Record<string, unknown>)['executionId'];

/** Processes that have the text in their command lines. */
function processesOf(text: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

describe('sealgate run, by the agent', () => {
  it('passes output and exit status on, and leaves nothing', async () => {
    await world.script(
      'report',
      '#!/bin/sh\necho "ran with $1"\nls "$CREDENTIALS_DIRECTORY"\necho "$PWD" >&2\nexit 7\n',
    );
    const run = world.run(['--initiator', world.initiator, ...credential], './report', '--json');
    expect(await run.exit).toBe(7);
    expect(run.stdout().split('\n')).toEqual([
      'ran with --json',
      ...['_authorization.jwt', '_authorization.key', '_child.sock'],
      ...['workload.ca.pem', 'workload.key', 'workload.pem', ''],
    ]);
    expect(run.stderr()).toBe(`${directory}/artifacts\n`);
    const report = world.report();
    expect(report).toMatchObject({ ok: true, status: 7, signal: null, denial: null });
    expect(await shown(executionOf(report))).toMatchObject({ state: 'ended' });
    expect(world.left()).toEqual([]);
  });

  it('passes signals on, and how the command took them', async () => {
    await world.script(
      'trap',
      '#!/bin/sh\ntrap "echo caught; exit 9" TERM\necho ready\nwhile :; do sleep 0.05; done\n',
    );
    await world.script('waiting', WAITING);
    for (const [name, signal, status, printed] of [
      ['trap', 'SIGTERM', 9, 'ready\ncaught\n'],
      ['waiting', 'SIGINT', 130, 'ready\n'],
    ] as const) {
      const run = world.run([], `./${name}`);
      await world.until(() => run.stdout() === 'ready\n', run);
      run.child.kill(signal);
      expect(await run.exit).toBe(status);
      expect(run.stdout()).toBe(printed);
      expect(run.stderr()).toBe('');
    }
    expect(world.report()).toMatchObject({ status: null, signal: 'SIGINT' });
    expect(world.left()).toEqual([]);
  });

  it('says no by 125, with reason, remedy and the leaf of the denial', async () => {
    await world.script('unsigned', '#!/bin/sh\necho never\n', false);
    const run = world.run([], './unsigned');
    expect(await run.exit).toBe(125);
    expect(run.stdout()).toBe('');
    expect(run.stderr()).toMatch(
      /^denied .*\[artifact-unsigned\]\n {2}reason {2}.+\n {2}remedy {2}.+\n {2}audit {3}entry \d+\n$/,
    );
    const { auditIndex, ...report } = world.report();
    expect(report).toMatchObject({ ok: false, denial: { check: 'artifact-unsigned' } });
    expect(run.stderr()).toContain(`audit   entry ${String(auditIndex)}\n`);
    expect((await cli('run', '--socket', world.socket, '--', './missing')).exit).toBe(127);
  });

  it('ends what runs when its caller is gone', async () => {
    await world.script('left', WAITING);
    const run = world.run(credential, './left');
    await world.until(() => run.stdout() === 'ready\n', run);
    expect(processesOf('/left')).not.toEqual([]);
    run.child.kill('SIGKILL');
    await run.exit;
    await world.until(() => world.left().length === 0, world.agent);
    expect(processesOf(`${directory}/host/run`)).toEqual([]);
  });
});

describe('an agent that is killed', () => {
  it('takes what runs with it, and the next one wipes what is left', async () => {
    await world.script('orphan', WAITING);
    const run = world.run(credential, './orphan');
    await world.until(() => run.stdout() === 'ready\n', run);
    expect(processesOf(`${directory}/host/run`)).not.toEqual([]);
    world.agent.child.kill('SIGKILL');
    expect(await world.agent.exit).toBe('SIGKILL');
    expect(await run.exit).toBe(125);
    expect(run.stderr()).toContain('[agent-unreachable]');
    await expect.poll(() => processesOf(`${directory}/host/run`)).toEqual([]);
    expect(readdirSync(world.credentials)).toHaveLength(1);
    const [executionId] = readdirSync(world.credentials);
    const agent = await world.startAgent();
    expect(world.left()).toEqual([]);
    expect(agent.stderr()).toContain(`"event":"recovered","executions":["${String(executionId)}"]`);
  });
});

describe('an execution that lasts', () => {
  it('is renewed by the agent, and ended when its host is revoked', async () => {
    await world.script(
      'lasting',
      '#!/bin/sh\ncd "$CREDENTIALS_DIRECTORY"\n' +
        'trap \'sleep 0.5; echo "left $(ls -A | wc -l)"; exit 4\' TERM\n' +
        'while :; do now=$(cat _authorization.jwt workload.pem | cksum)\n' +
        '[ "$now" = "$last" ] || echo new; last=$now; sleep 0.1; done\n',
    );
    const run = world.run(credential, './lasting');
    await world.until(() => run.stdout().startsWith('new\nnew\nnew\n'), run);
    // The files are there a moment before the agent says so.
    await world.until(() => world.agent.stderr().includes('"renewed":1'), run);
    expect(await world.operate('host', 'revoke', 'host-a', '--reason', 'stolen')).toMatchObject({ ok: true });
    expect(await run.exit).toBe(4);
    expect(run.stdout()).toMatch(/^(?:new\n)+left 0\n$/);
    expect(run.stderr()).toContain('sealgate: ended: ');
    expect(world.report()).toMatchObject({ ok: false, status: 4, denial: { code: 'revoked-authorization' } });
    expect(world.left()).toEqual([]);
    // A revoked host says nothing more: its execution becomes `lost` when its authorization has run out.
    expect(run.stderr()).toContain('sealgate: not reported to the verifier: ');
    expect(await shown(executionOf(world.report()))).not.toMatchObject({ state: 'ended' });
  });
});
