import { execFile, execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { askAgent } from '../../src/agent/index.ts';
import { parseClaims } from '../../src/authorization/index.ts';
import { fromBase64url } from '../../src/base/index.ts';
import type { RunOrder } from '../../src/gateway/index.ts';
import { CHILD_PROGRAM, resultsIn } from '../support/child-program.ts';
import { expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld } from './world.ts';

vi.setConfig({ testTimeout: 120_000 });

const directory = temporaryDirectory();
// As /var/lib and /run are: what runs gets there as another user.
chmodSync(directory, 0o755);
let world: GatewayWorld;
let program: string;
let report: string;
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
  program = world.file('program', CHILD_PROGRAM);
  report = world.file(
    'report',
    '#!/bin/sh\nread line\necho "child: $line $(ls "$CREDENTIALS_DIRECTORY" | tr "\\n" " ")"\nexit 5\n',
  );
}, 180_000);
afterAll(async () => {
  await world.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

/** A request for a child, as a governed program sends it. */
const asks = async (artifact: string, more: Partial<RunOrder> = {}): Promise<string> =>
  JSON.stringify({ v: 1, op: 'run', order: await world.order(artifact, more) });

const shown = async (executionId: unknown) =>
  await world.agents.operate(`/v1/executions/${String(executionId)}`);

describe('a governed program', () => {
  it('starts a child with less, by nothing but the documented wire', async () => {
    const order = await world.order(program, {
      args: [
        JSON.stringify({ v: 1, op: 'status' }),
        await asks(report, { scopes: ['reports.read'], credentials: ['database'] }),
      ],
      scopes: ['reports.*', 'reports.read'],
    });
    const { end, stdout, stderr } = await world.run(order);
    expect(stderr).toBe('');
    expect(end).toMatchObject({ status: 0, denial: null });
    const [status, child] = resultsIn(stdout);
    expect(status).toMatchObject({
      executionId: end.report['executionId'],
      scopes: ['reports.*', 'reports.read'],
      depth: 0,
      maxDepth: 2,
      constraints: { children: 8 },
    });
    expect(stdout).toContain(
      'stdout child: typed by the parent _authorization.jwt _authorization.key _child.sock database \n',
    );
    expect(child).toMatchObject({ status: 5, signal: null, denied: null });
    const { executionId } = child?.['report'] as Record<string, unknown>;
    expect(await shown(executionId)).toMatchObject({ state: 'ended', parent: end.report['executionId'] });
    expect(readdirSync(world.credentials)).toEqual([]);
    expect(readdirSync(path.join(world.host.state.path, 'run'))).toEqual([]);
  });

  it('has less with each level, and no socket where policy allows no further one', async () => {
    const last = await asks(program, {
      args: ['{"v":1,"op":"status"}'],
      scopes: ['reports.eu.sum'],
      credentials: [],
    });
    const middle = await asks(program, {
      args: ['{"v":1,"op":"status"}', last],
      scopes: ['reports.eu.*'],
      credentials: [],
    });
    const order = await world.order(program, { args: [middle], scopes: ['reports.*'] });
    const { stdout, end } = await world.run(order);
    expect(end.status).toBe(0);
    expect(stdout).toMatch(/stdout result \{.*"scopes": \["reports\.eu\.\*"\].*"depth": 1/);
    expect(stdout).toContain('stdout stdout failed FileNotFoundError\n');
    const [child] = resultsIn(stdout);
    expect(child).toMatchObject({ status: 0, denied: null });
  });

  it('is told by the verifier what it may not have, with the leaf of the denial', async () => {
    const order = await world.order(program, {
      args: [
        await asks(report, { scopes: ['admin.all'], credentials: [] }),
        await asks(report, { credentials: ['database'], scopes: [] }),
        await asks(report, { signatures: [], credentials: [] }),
      ],
      credentials: ['workload'],
    });
    const { stdout, end } = await world.run(order);
    expect(end.status).toBe(0);
    const denied = resultsIn(stdout);
    expect(denied.map(({ denial }) => (denial as { check: string }).check)).toEqual([
      'scope_not_granted',
      'not_narrower',
      'artifact-unsigned',
    ]);
    for (const { verifier } of denied) {
      const { auditIndex } = verifier as { auditIndex: string };
      const { leaf } = await world.agents.operate(`/v1/log/entries/${auditIndex}`);
      expect(JSON.parse(String(leaf))).toMatchObject({ kind: 'decision', outcome: 'deny' });
    }
  });

  it('names neither parent nor initiator, nor what is the gateway’s to say', async () => {
    const token = 'e30.e30.e30';
    const order = await world.order(program, {
      args: [
        await asks(report, { parent: token }),
        await asks(report, { initiator: token }),
        await asks(report, { environment: { SEALGATE_CHILD_SOCKET: '/tmp/s' } }),
        await asks(report, { artifact: '/proc/self/exe', signatures: [] }),
        await asks(report, { cwd: '/dev/../proc/1' }),
        '{"v":1,"op":"run"}',
        '{"v":1,"op":"attest"}',
        '{"v":1,"op":"prove","aud":"example.org","nonce":"n"}',
      ],
    });
    const { stdout } = await world.run(order);
    expect(resultsIn(stdout).map(({ denial }) => (denial as { check: string }).check)).toEqual([
      ...Array<string>(5).fill('run-order'),
      ...Array<string>(3).fill('local-frame'),
    ]);
  });

  it('proves that it holds its authorization, for what that covers', async () => {
    const question = {
      v: 1,
      op: 'prove',
      aud: 'example.org',
      nonce: 'bm9uY2U',
      requestDigest: 'ab'.repeat(32),
    };
    const order = await world.order(program, {
      args: [
        JSON.stringify({ ...question, scopes: ['reports.read'] }),
        JSON.stringify({ ...question, scopes: ['reports.write'] }),
      ],
    });
    const [proved, refused] = resultsIn((await world.run(order)).stdout);
    const claims = parseClaims(fromBase64url(String(proved?.['authorization']).split('.')[1] ?? '', 'token'));
    const [header = ''] = String(proved?.['proof']).split('.');
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string };
    expect(kid).toBe(claims.cnf.jkt);
    expect(refused).toMatchObject({ denial: { check: 'scope_not_granted' }, verifier: null });
  });
});

describe('a child', () => {
  const waiting = '#!/bin/sh\ntrap "" HUP\nwhile :; do sleep 0.05; done\n';

  it('ends with its parent, whose end is the last to be told', async () => {
    const file = world.file('waiting', waiting);
    const background = JSON.stringify({
      ...(JSON.parse(await asks(file, { credentials: [] })) as object),
      background: true,
    });
    const order = await world.order(program, { args: [background] });
    const before = await world.agents.operate('/v1/executions');
    const { end } = await world.run(order);
    expect(end).toMatchObject({ status: 0, denial: null });
    const known = new Set(
      (before['executions'] as readonly { executionId: string }[]).map((one) => one.executionId),
    );
    const after = (await world.agents.operate('/v1/executions'))['executions'] as readonly {
      executionId: string;
      state: string;
      parent: string | null;
    }[];
    const made = after.filter(({ executionId }) => !known.has(executionId));
    expect(made.map(({ state }) => state)).toEqual(['ended', 'ended']);
    const [child] = made.filter(({ parent }) => parent === end.report['executionId']);
    expect(await shown(child?.executionId)).toMatchObject({ exit: { signal: 'SIGTERM' } });
    expect(readdirSync(world.credentials)).toEqual([]);
  });

  it('ends at once when its parent is ended, with the parent named as the reason', async () => {
    const file = world.file('waiting', waiting);
    const gateway = world.gateway({ graceMs: 1000 });
    const order = await world.order(program, { args: [await asks(file, { credentials: [] })] });
    const stdout = new PassThrough();
    const streams = { stdin: new PassThrough(), stdout, stderr: new PassThrough() };
    let text = '';
    stdout.on('data', (part: Buffer) => (text += part.toString()));
    const running = gateway.runArtifact(order, { uid: 0, gid: 0 }, { streams });
    await vi.waitFor(
      () => {
        expect(gateway.active()).toHaveLength(2);
        expect(text).toContain('event started');
      },
      { timeout: 30_000 },
    );
    const parent = gateway.active().find(({ claims }) => claims.del_depth === 0)?.executionId ?? '';
    await gateway.end([parent], { check: 'revoked', reason: 'for a test' });
    expect((await running).denial).toMatchObject({ check: 'revoked' });
    expect(gateway.active()).toEqual([]);
    expect(readdirSync(world.credentials)).toEqual([]);
  });

  it('sees no socket but its own, and no other user is answered by it', async () => {
    const child = await asks(program, {
      args: ['{"v":1,"op":"status","path":"@PARENT@"}', '{"v":1,"op":"status"}'],
      credentials: [],
    });
    // Each program puts its own socket in: the child is told its parent’s.
    const order = await world.order(program, { args: [child.replace('@PARENT@', '@SOCKET@')] });
    const { stdout } = await world.run(order);
    expect(stdout).toContain('stdout failed FileNotFoundError\n');
    expect(stdout).toContain('"depth": 1');
  });

  it('is asked for by its parent’s user alone: root and others are refused', async () => {
    const order = await world.order(program, { args: ['{"op":"sleep","seconds":3}'] });
    let asked: Promise<readonly unknown[]> | undefined;
    const gateway = world.gateway();
    const streams = { stdin: new PassThrough(), stdout: new PassThrough(), stderr: new PassThrough() };
    const running = gateway.runArtifact(
      order,
      { uid: 0, gid: 0 },
      {
        streams,
        event: () => {
          const [active] = gateway.active();
          const socket = path.join(world.credentials, active?.executionId ?? '', '_child.sock');
          const connect = `import socket; socket.socket(socket.AF_UNIX).connect('${socket}')`;
          const stranger = promisify(execFile)('/usr/bin/setpriv', [
            ...[
              '--reuid',
              '4711',
              '--regid',
              '4711',
              '--clear-groups',
              '--',
              '/usr/bin/python3',
              '-c',
              connect,
            ],
          ]);
          asked = Promise.all([
            expectRejection('local-caller', askAgent(socket, { v: 1, op: 'status' })),
            expect(stranger).rejects.toThrow(/PermissionError/),
          ]);
          asked.catch(() => undefined);
        },
      },
    );
    expect((await running).status).toBe(0);
    expect(await asked).toHaveLength(2);
  });
});

describe('without namespaces', () => {
  it('a parent still has a socket that is its own', async () => {
    const order = await world.order(program, { args: ['{"v":1,"op":"status"}'] });
    const { stdout } = await world.run(order, { isolation: 'setpriv' });
    expect(resultsIn(stdout)).toMatchObject([{ depth: 0 }]);
  });
});
