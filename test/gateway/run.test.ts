import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tryLockFile } from '../../native/index.ts';
import { LIBRARIES, loadLibrary } from '../../native/library.ts';
import { systemClock } from '../../src/agent/index.ts';
import type { Host } from '../../src/agent/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { VerifierAnswer } from '../../src/client/answer.ts';
import { VerifierRefusal } from '../../src/client/index.ts';
import { askExecution } from '../../src/gateway/ask-execution.ts';
import { newExecutionId } from '../../src/gateway/execution-id.ts';
import { clearExecution, lockExecution } from '../../src/gateway/places.ts';
import { prepareRun } from '../../src/gateway/prepare-run.ts';
import { requireTrustedHere } from '../../src/gateway/artifact/trusted-here.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld, OWN_USER } from './world.ts';

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
    const lines = stdout.split('\n');
    // A user that nobody else has, where root runs the gateway.
    const [uid] = lines.splice(8, 1, '(own)');
    expect(Number(uid)).toSatisfy((own: number) =>
      process.getuid?.() === 0 ? own >= 60_706 && own <= 61_183 : own === process.getuid?.(),
    );
    expect(lines).toEqual([
      '_authorization.jwt',
      '_authorization.key',
      '_child.sock',
      'database',
      'workload.ca.pem',
      'workload.key',
      'workload.pem',
      'hunter2',
      '(own)',
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
  expect(stdout).toBe(`${own}\n555 ${String(OWN_USER.uid)}\n${state}:\nrun\n\n${run}:\n${executionId}\n`);
});

it.each(['bubblewrap', 'setpriv'] as const)(
  'inherits nothing that C has opened in the gateway: the TPM’s descriptor (%s)',
  async (isolation) => {
    // As tpm2-tss opens a device: without O_CLOEXEC.
    const c = loadLibrary(LIBRARIES.c);
    const descriptor = c.function('open', 'i32', ['text', 'i32'])(world.host.state.path, 0);
    expect(descriptor).toBeGreaterThan(2);
    const file = world.file(
      `descriptors-${isolation}`,
      `#!/bin/sh\n[ -e /proc/$$/fd/0 ] && echo looked\n[ -e /proc/$$/fd/${String(descriptor)} ] && echo inherited\nexit 0\n`,
    );
    const { stdout } = await world.run(await world.order(file), { isolation });
    c.function('close', 'i32', ['i32'])(descriptor);
    expect(stdout).toBe('looked\n');
  },
);

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
    // Directories above the copy are closed to another user than the gateway's own.
    const [program, count] = stdout.split('\n');
    expect(program).toMatch(OWN_USER.uid === 0 ? /^\/proc\/self\/fd\/3$/ : /\/run\/[0-9a-f-]{36}\/true$/);
    expect(count).toBe('7');
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

  it('when the artifact is not trusted: not even a copy is made, and the denial is in the log', async () => {
    const run = path.join(world.host.state.path, 'run');
    const seen = new Set<string>();
    const watching = watch(run, (_event, name) => seen.add(String(name)));
    const denied = async (order: Awaited<ReturnType<typeof world.order>>) => {
      const error = await world.run(order).then(
        () => undefined,
        (cause: unknown) => cause,
      );
      if (!(error instanceof VerifierRefusal)) throw error;
      expect(error.denial).toMatchObject({ stage: 'artifact' });
      expect(error.auditIndex).toMatch(/^[0-9]+$/);
      return error.check;
    };
    // Its interpreter is not looked at either: it is named by nobody that counts.
    const file = world.file('stranger', '#!/no/such/program\n');
    expect(await denied(await world.order(file, { signatures: [] }))).toBe('artifact-unsigned');
    world.file('strangers/main', script);
    const tree = path.join(directory, 'artifacts/strangers');
    expect(await denied(await world.order(tree, { entry: 'main', signatures: [] }))).toBe(
      'artifact-unsigned',
    );
    // Signed, by somebody whom this host never saw in a policy that the authorities signed.
    world.host.state.remove('policy-manifest.json');
    expect(await denied(await world.order(file, { signatures: [] }))).toBe('artifact-unsigned');
    expect(world.host.policySeen.manifest(world.host.trust, Date.now())).toBeDefined();
    watching.close();
    expect(seen.size).toBeGreaterThan(0);
    expect([...seen].filter((name) => !name.endsWith('.lock'))).toEqual([]);
    expectClean();
  });

  it('when its caller may not read the artifact', async () => {
    const file = world.file('private', script, 0o700);
    const order = await world.order(file);
    const somebody = { uid: 12_345, gid: 12_345 };
    // Without root it could not even become somebody else.
    const check = OWN_USER.uid === 0 ? 'artifact-unreadable' : 'caller-rights';
    await expectRejection(check, world.run(order, {}, undefined, somebody));
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

  it('when others can put another program in its interpreter’s place', async () => {
    const own = path.join(directory, 'programs/sub');
    mkdirSync(own, { recursive: true });
    const program = path.join(own, 'sh');
    copyFileSync('/bin/sh', program);
    const order = await world.order(world.file('by-own', `#!${program}\necho ran\n`));
    expect((await world.run(order)).stdout).toBe('ran\n');
    chmodSync(path.dirname(own), 0o777);
    await expectRejection('artifact-interpreter', world.run(order));
    // As /tmp is: others put theirs there, and move nobody else's.
    chmodSync(path.dirname(own), 0o1777);
    expect((await world.run(order)).stdout).toBe('ran\n');
    if (OWN_USER.uid === 0) {
      chownSync(own, 1000, 1000);
      await expectRejection('artifact-interpreter', world.run(order));
    }
  });
});

it('is not started when its caller is gone by then, whether before it is asked for or after', async () => {
  const { client } = world.host;
  const file = world.file('late', '#!/bin/sh\necho ran\n');
  const order = await world.order(file);
  const gone = new AbortController();
  const printed: unknown[] = [];
  const stdout = new PassThrough().on('data', (part) => printed.push(part));
  const streams = { stdin: new PassThrough().end(), stdout, stderr: stdout };
  const events: unknown[] = [];
  const io = { streams, event: (event: unknown) => events.push(event), signal: gone.signal };
  const asked: string[] = [];
  const request = client.request.bind(client);
  client.request = async (...sent) => {
    asked.push(sent[1]);
    const answer = await request(...sent);
    if (sent[1] === '/v1/executions') gone.abort();
    return answer;
  };
  try {
    await expectRejection('caller-gone', world.gateway().runArtifact(order, OWN_USER, io));
    expect(asked.filter((at) => at === '/v1/executions')).toHaveLength(1);
    await expectRejection('caller-gone', world.gateway().runArtifact(order, OWN_USER, io));
    expect(asked.filter((at) => at === '/v1/executions')).toHaveLength(1);
  } finally {
    client.request = request;
  }
  expect([printed, events]).toEqual([[], []]);
  expectClean();
});

it('the kernel sees the copy under the TPM’s lock, which attestations wait for', async () => {
  const { host } = world;
  const places = { run: path.join(host.state.path, 'run'), credentials: world.credentials };
  const file = world.file('measured', '#!/bin/sh\n');
  const id = newExecutionId(systemClock, systemRandom);
  const lock = await lockExecution(places, id);
  const { plan } = await prepareRun(host, {
    ...{ order: await world.order(file), caller: OWN_USER, user: OWN_USER, executionId: id, places },
    ...{ isolation: 'bubblewrap', anywhere: true, parent: null, clock: systemClock, turn: (task) => task() },
  });
  const held: boolean[] = [];
  const asked = askExecution(
    host,
    {
      ...plan,
      reveal: async (policyHash) => {
        const show = await plan.reveal?.(policyHash);
        return async () => {
          const handle = await open(host.state.at('tpm.lock'), 'r');
          held.push(!tryLockFile(handle.fd));
          await handle.close();
          await show?.();
        };
      },
    },
    systemClock,
  );
  expect((await asked).answer.auditIndex).toMatch(/^[0-9]+$/);
  expect(held).toEqual([true]);
  // Another policy than the one that the artifact was judged by is asked for, and judged, before that.
  await expectRejection('artifact-unsigned', judgedUnder(host, file));
  await clearExecution(places, id, lock);
});

/** An artifact that loses its signatures after it was prepared, asked for under a policy that the host doesn't have yet. */
async function judgedUnder(host: Host, file: string): Promise<unknown> {
  const { signatures } = await world.order(file);
  const digest = `sha256:${createHash('sha256').update(readFileSync(file)).digest('hex')}`;
  const artifact = { name: 'measured', digest, signatures };
  const hash = await requireTrustedHere(host, artifact, systemClock);
  expect(await requireTrustedHere(host, artifact, systemClock, hash)).toBe(hash);
  host.state.remove('policy-manifest.json');
  expect(await requireTrustedHere(host, artifact, systemClock, hash)).toBe(hash);
  return await requireTrustedHere(host, { ...artifact, signatures: [] }, systemClock, hash);
}

it('a verifier that shows no policy has nothing run', async () => {
  const { client, state } = world.host;
  const order = await world.order(world.file('unknown', '#!/bin/sh\necho never\n'));
  const request = client.request.bind(client);
  client.request = async (...sent) => {
    const answer = await request(...sent);
    if (sent[1] !== '/v1/policy') return answer;
    return new VerifierAnswer(answer.status, answer.type, utf8('{"active":null}'));
  };
  state.remove('policy-manifest.json');
  await expectRejection('artifact-not-trusted-here', world.run(order));
  client.request = request;
  expectClean();
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
