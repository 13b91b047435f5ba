import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRunGroup } from '../../src/gateway/confine/cgroup.ts';
import { MACHINE_USERS, leaseUser, sweepUsers } from '../../src/gateway/confine/user-lease.ts';
import { systemRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld } from './world.ts';

// Only root can have anything run as somebody else; without root an execution is its caller's own user.
const isRoot = process.getuid?.() === 0;
const ROOT = { uid: 0, gid: 0 };

/** Command lines of processes that have the text in them. */
function processesOf(text: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return /^\d+$/.test(pid) && line.includes(text) ? [line] : [];
    } catch {
      return [];
    }
  });
}

async function untilGone(text: string): Promise<void> {
  for (let i = 0; i < 200 && processesOf(text).length > 0; i++) await sleep(20);
  expect(processesOf(text)).toEqual([]);
}

describe.runIf(isRoot)('what an execution starts', () => {
  const directory = temporaryDirectory();
  chmodSync(directory, 0o755);
  let world: GatewayWorld;
  let hasGroups = false;
  beforeAll(async () => {
    world = await GatewayWorld.start(directory);
    const group = await makeRunGroup('probe');
    hasGroups = group !== undefined;
    await group?.remove();
  }, 120_000);
  afterAll(async () => {
    await world.stop();
    if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
  });

  // Away from its parent, its session and its process group, its output still open.
  const leaving = (seconds: number, then: string): string =>
    `#!/bin/sh\nsetsid sh -c 'sleep ${String(seconds)}' &\necho ready\n${then}\n`;
  const cases: [string, 'bubblewrap' | 'setpriv', { uid: number; gid: number }][] = [
    ['in namespaces', 'bubblewrap', ROOT],
    ['without namespaces, as a user of its own', 'setpriv', ROOT],
    ['without namespaces, as its caller', 'setpriv', { uid: 12_345, gid: 12_345 }],
  ];
  // No number of another run, of which something may be left.
  let seconds = 86_401 + process.pid;

  it.each(cases)('ends with it: %s', async (_name, isolation, caller) => {
    // An ordinary caller's processes are told from its others by their control group only.
    if (caller.uid !== 0 && !hasGroups) return;
    const own = seconds++;
    const file = world.file(`left-${String(own)}`, leaving(own, 'exit 5'));
    const order = await world.order(file);
    const { end } = await world.run(order, { isolation }, undefined, caller);
    expect(end).toMatchObject({ status: 5, denial: null });
    await untilGone(`sleep\0${String(own)}`);
  });

  it.each(cases)('is killed with it: %s', async (_name, isolation, caller) => {
    if (caller.uid !== 0 && !hasGroups) return;
    const own = seconds++;
    const wait = 'trap "" TERM\nwhile :; do sleep 0.05; done';
    const file = world.file(`kept-${String(own)}`, leaving(own, wait));
    const ending = (text: string, send: (signal: NodeJS.Signals) => void): void => {
      if (text === 'ready\n') send('SIGKILL');
    };
    const { end } = await world.run(await world.order(file), { isolation }, ending, caller);
    expect(end).toMatchObject({ status: null, signal: 'SIGKILL' });
    await untilGone(`sleep\0${String(own)}`);
  });

  it('has a user that no other gateway of this machine gives away, and ends, meanwhile', async () => {
    const file = world.file('whose', '#!/bin/sh\nid -u\nexec sleep 60\n');
    let free: boolean | undefined;
    const { end } = await world.run(await world.order(file), {}, (text, send) => {
      const lock = path.join(MACHINE_USERS, `user-${text.trim()}.lock`);
      // As the other gateway would ask: may it have the lock?
      free = spawnSync('flock', ['--nonblock', lock, 'true']).status === 0;
      send('SIGTERM');
    });
    expect(free).toBe(false);
    expect(end).toMatchObject({ signal: 'SIGTERM', denial: null });
  });

  it('has a user of its own, which sees nothing of another execution', async () => {
    const gateway = world.gateway({ isolation: 'setpriv' });
    const waiting = world.file('victim', '#!/bin/sh\nsleep 86400.5\n');
    const { PassThrough } = await import('node:stream');
    const stream = () => new PassThrough().resume();
    const first = gateway.runArtifact(await world.order(waiting), ROOT, {
      streams: { stdin: stream(), stdout: stream(), stderr: stream() },
    });
    while (gateway.active().length === 0) await sleep(20);
    const [victim] = gateway.active();
    const id = victim?.executionId ?? '';
    const credentials = path.join(world.credentials, id);
    const spy = world.file(
      'spy',
      `#!/bin/sh\nid -u\ncat ${credentials}/database ${credentials}/_authorization.key\nls ${credentials}\n` +
        'for p in $(pgrep -f 86400.5); do cat /proc/$p/environ; kill -0 $p; done\necho done\n',
    );
    const { stdout, stderr } = await world.run(await world.order(spy), { isolation: 'setpriv' });
    const [uid, rest] = stdout.split('\n');
    expect(rest).toBe('done');
    expect(stderr.match(/Permission denied|not permitted/g)?.length).toBeGreaterThanOrEqual(4);
    expect(Number(uid)).toBeGreaterThanOrEqual(60_706);
    await gateway.end([id], { check: 'test', reason: 'the test is over' });
    await first;
    expect(readdirSync(path.join(world.host.state.path, 'run'))).toEqual([]);
  });
});

describe.runIf(isRoot)('a user of its own', () => {
  it('is one execution’s, and free again after it', async () => {
    const run = temporaryDirectory();
    const same = { bytes: (length: number) => new Uint8Array(length) };
    const one = await leaseUser(run, ROOT, same);
    const two = await leaseUser(run, { uid: 61_100, gid: 61_100 }, same);
    expect([one.user, two.user]).toEqual([
      { uid: 60_706, gid: 60_706 },
      { uid: 60_707, gid: 60_707 },
    ]);
    await one.release();
    const again = await leaseUser(run, ROOT, same);
    expect(again.user.uid).toBe(60_706);
    await Promise.all([again.release(), two.release()]);
    expect(readdirSync(run)).toEqual([]);
    // An ordinary caller stays itself, without root's group.
    expect((await leaseUser(run, { uid: 1000, gid: 0 }, systemRandom)).user).toEqual({
      uid: 1000,
      gid: 65_534,
    });
  });

  it('takes along what a killed gateway left running as it', async () => {
    const run = temporaryDirectory();
    const same = { bytes: (length: number) => new Uint8Array(length).fill(7) };
    const left = await leaseUser(run, ROOT, same);
    const { uid } = left.user;
    const child = spawn('setpriv', ['--reuid', String(uid), '--clear-groups', 'sleep', '86399'], {
      detached: true,
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => {
      child.once('exit', (_status, signal) => {
        resolve(signal);
      });
    });
    await new Promise((resolve) => child.once('spawn', resolve));
    while (!processesOf('sleep\x0086399').some((line) => line.startsWith('sleep'))) await sleep(10);
    // It is somebody's: nothing happens to it.
    await sweepUsers(run);
    expect(processesOf('sleep\x0086399')).toHaveLength(1);
    // Its lock is gone as with its gateway; its file stayed.
    const orphan = temporaryDirectory();
    execFileSync('cp', [path.join(run, `user-${String(uid)}.lock`), orphan]);
    await sweepUsers(orphan);
    expect(await ended).toBe('SIGKILL');
    expect(readdirSync(orphan)).toEqual([]);
    await left.release();
  });
});
