import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld } from './world.ts';

const directory = temporaryDirectory();
// As /var/lib and /run are: the child gets there as another user.
chmodSync(directory, 0o755);
let world: GatewayWorld;
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
}, 120_000);
afterAll(async () => {
  await world.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

/** Nothing of any execution is left. */
function expectClean(): void {
  expect(readdirSync(world.credentials)).toEqual([]);
  expect(readdirSync(path.join(world.host.state.path, 'run'))).toEqual([]);
}

describe('a signed script', () => {
  it('runs with its credentials, confined, and leaves nothing behind', async () => {
    const file = world.file(
      'report',
      '#!/bin/sh\ncd "$CREDENTIALS_DIRECTORY"\nls\ncat database\necho\nid -u\ncat -\nls /dev | grep -c tpm\nexit 3\n',
    );
    const { end, stdout, stderr, events } = await world.run(await world.order(file));
    expect(stderr).toBe('');
    expect(stdout.split('\n')).toEqual([
      '_authorization.jwt',
      '_authorization.key',
      'database',
      'workload.ca.pem',
      'workload.key',
      'workload.pem',
      'hunter2',
      '65534',
      'typed',
      '0',
      '',
    ]);
    expect(end).toMatchObject({ status: 3, signal: null, denial: null });
    expect(events.map(({ event }) => event)).toEqual(['started']);
    expectClean();
  });
});

it('what runs is a copy that nobody writes, in a file system without the host’s state', async () => {
  const state = world.host.state.path;
  const file = world.file('where', `#!/bin/sh\necho "$0"\nstat -c '%a %u' "$0"\nls ${state} ${state}/run\n`);
  const { end, stdout } = await world.run(await world.order(file));
  const run = path.join(state, 'run');
  const { executionId = null } = end.report;
  if (typeof executionId !== 'string') throw new TypeError('the report names no execution');
  const own = path.join(run, executionId, 'where');
  expect(stdout).toBe(`${own}\n555 0\n${state}:\nrun\n\n${run}:\n${executionId}\n`);
});

describe('what ends a run', () => {
  it('a signal reaches the command, which may answer it', async () => {
    const file = world.file(
      'trap',
      '#!/bin/sh\ntrap "echo caught; exit 7" TERM\necho ready\nwhile :; do sleep 0.05; done\n',
    );
    const { end, stdout } = await world.run(await world.order(file), {}, (text, send) => {
      if (text === 'ready\n') send('SIGTERM');
    });
    expect(stdout).toBe('ready\ncaught\n');
    expect(end).toMatchObject({ status: 7, signal: null });
    expectClean();
  });

  it('a signal that the command does not handle ends it', async () => {
    const file = world.file('sleeper', '#!/bin/sh\necho ready\nexec sleep 60\n');
    const { end } = await world.run(await world.order(file), {}, (text, send) => {
      if (text === 'ready\n') send('SIGINT');
    });
    expect(end).toMatchObject({ status: null, signal: 'SIGINT' });
    expectClean();
  });
});

describe('other artifacts', () => {
  it('a program, without namespaces', async () => {
    const file = world.file('true', '#!/bin/sh\necho "$0"; ls "$CREDENTIALS_DIRECTORY" | wc -l\n');
    const { end, stdout } = await world.run(await world.order(file), { isolation: 'setpriv' });
    expect(stdout).toBe('/proc/self/fd/3\n6\n');
    expect(end).toMatchObject({ status: 0, report: { isolated: false } });
    expectClean();
  });

  it('a tree, by a file below its root', async () => {
    world.file('app/bin/main', '#!/bin/sh\ncat "$(dirname "$0")/../share/text"\n');
    world.file('app/share/text', 'from the tree', 0o644);
    const tree = path.join(directory, 'artifacts/app');
    const { stdout } = await world.run(await world.order(tree, { entry: 'bin/main' }));
    expect(stdout).toBe('from the tree');
    const entry = { entry: '../report' };
    await expectRejection('not-executable', world.run(await world.order(tree, entry)));
    await expectRejection('not-executable', world.run(await world.order(tree, { entry: 'share/text' })));
  });
});

describe('nothing runs', () => {
  const script = '#!/bin/sh\necho never\n';
  it('when the artifact is unsigned, changed after signing, or may gain rights', async () => {
    const file = world.file('unsigned', script);
    await expectRejection('artifact-unsigned', world.run(await world.order(file, { signatures: [] })));
    const signatures = await world.sign(file);
    appendFileSync(file, '# more');
    await expectRejection('dsse-subject', world.run(await world.order(file, { signatures })));
    chmodSync(file, 0o4755);
    await expectRejection('artifact-setuid', world.run(await world.order(file, { signatures })));
    expectClean();
  });

  it('when a variable would load other code', async () => {
    const order = await world.order(world.file('loader', script), {
      environment: { LD_PRELOAD: '/tmp/x.so' },
    });
    await expectRejection('loader-variable', world.run(order));
    expectClean();
  });

  it('when a link leaves the tree', async () => {
    world.file('leaving/main', script);
    const tree = path.join(directory, 'artifacts/leaving');
    symlinkSync('/etc/passwd', path.join(tree, 'out'));
    const order = await world.order(tree, { entry: 'main', signatures: [] });
    await expectRejection('artifact-link', world.run(order));
  });

  it('when the interpreter is relative, missing or a script', async () => {
    for (const line of [
      '#!sh',
      '#!/no/such/program',
      '#!/usr/bin/env -S sh -c',
      `#!${path.join(directory, 'artifacts/report')}`,
    ]) {
      const order = await world.order(world.file('strange', `${line}\n`));
      await expectRejection('artifact-interpreter', world.run(order));
    }
  });
});

it('what a crashed gateway left is wiped by the next one', async () => {
  const left = '019a9e2c-7b1e-7c3d-8f20-1234567890ab';
  for (const place of [world.credentials, path.join(world.host.state.path, 'run')]) {
    mkdirSync(path.join(place, left));
    writeFileSync(path.join(place, left, 'database'), 'hunter2');
  }
  const { stdout } = await world.run(await world.order(world.file('next', '#!/bin/sh\necho ran\n')));
  expect(stdout).toBe('ran\n');
  expectClean();
});
