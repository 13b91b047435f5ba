import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DaemonWorld, passable } from '../e2e/daemon-world.ts';
import type { Started } from '../e2e/daemon-world.ts';
import { CHILD_PROGRAM } from '../support/child-program.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Each command is a process that loads the whole program.
vi.setConfig({ testTimeout: 240_000 });

// One world of processes, and one revocation after another, each wider than the one before: what rests on it ends, the
// lineage says why, nothing new is allowed, and what doesn't rest on it runs on.
const directory = passable(temporaryDirectory());
const WATCHER = '#!/bin/sh\necho runs\nwhile :; do sleep 0.05; done\n';
const ISSUER = 'https://people.example.org';
let world: DaemonWorld;
let elsewhere: string;
let another: string;
beforeAll(async () => {
  world = await DaemonWorld.start(directory, 300);
  elsewhere = await world.addHost('host-b', true);
  another = await world.addHost('host-c');
  await world.script('watcher', WATCHER);
  await world.script('parent', CHILD_PROGRAM);
}, 480_000);
afterAll(async () => {
  await world.stop();
  execFileSync('umount', [world.credentials]);
});

interface Running {
  readonly run: Started;
  readonly executionId: string;
}
const running = async (): Promise<readonly string[]> => {
  const { executions } = await world.operate('exec', 'ls', '--state', 'running');
  return (executions as Record<string, unknown>[]).map(({ executionId }) => String(executionId));
};
/** The executions that run since `run` was asked for, when there are so many. */
async function started(run: Started, before: readonly string[], count: number): Promise<readonly string[]> {
  await world.until(() => run.stdout().includes('runs'), run);
  // Their starts are reported a moment after they began.
  for (;;) {
    const found = (await running()).filter((id) => !before.includes(id));
    if (found.length === count) return found;
  }
}
async function start(socket: string): Promise<Running> {
  const before = await running();
  const run = world.runAt(socket, ['--scope', 'reports.read'], './watcher');
  const [executionId = ''] = await started(run, before, 1);
  return { run, executionId };
}
const ended = ({ run }: { readonly run: Started }) =>
  run.child.exitCode !== null || run.child.signalCode !== null;
type Told = Record<string, Record<string, unknown>>;
/** What the log says of an execution and of those above it; every entry of the answer is verified by the command. */
async function lineageOf(executionId: string): Promise<readonly Told[]> {
  const { executions } = await world.operate('exec', 'lineage', executionId);
  return executions as Told[];
}
const told = async (executionId: string): Promise<Told> => (await lineageOf(executionId)).at(-1) ?? {};
async function expectEnded(one: Running, kind: string, reason: string): Promise<void> {
  expect(await one.run.exit).not.toBe(0);
  expect(one.run.stderr()).toContain(`${kind} revoked: `);
  expect(await world.operate('exec', 'show', one.executionId)).toMatchObject({ state: 'revoked', reason });
  const chain = await lineageOf(one.executionId);
  expect(chain.at(-1)).toMatchObject({ executionId: one.executionId, state: 'revoked' });
  // What it or anything above it rests on.
  expect(chain.flatMap(({ revocations }) => revocations)).toMatchObject([{ reason, subject: { kind } }]);
}
async function expectDenied(run: Started, check: string): Promise<void> {
  expect(await run.exit).toBe(125);
  expect(run.stderr()).toContain(`[${check}]`);
}
const revoke = async (kind: string, id: unknown, reason: string) =>
  await world.operate('revoke', kind, String(id), '--reason', reason);

describe('sealgate revoke', () => {
  let plain: Running;
  let away: Running;

  it('initiator: what runs for it ends, with what that started; what runs for others goes on', async () => {
    plain = await start(world.socket);
    const before = await running();
    const artifact = path.join(directory, 'artifacts', 'watcher');
    const data = readFileSync(`${artifact}.dsse.json`).toString('base64url');
    const order = {
      ...{ artifact, entry: '', args: [], environment: {}, cwd: '/', scopes: ['reports.read'] },
      ...{ credentials: [], signatures: [{ format: 'dsse', data }] },
      ...{ initiator: null, initiatorKey: null, parent: null, parentKey: null },
    };
    const flags = ['--scope', 'reports.read', '--initiator', world.initiator];
    const run = world.run(flags, './parent', JSON.stringify({ v: 1, op: 'run', order }));
    const [first = '', second = ''] = await started(run, before, 2);
    const answer = await revoke('initiator', `${ISSUER}#alice`, 'left the company');
    expect(answer).toMatchObject({ ok: true, kind: 'initiator', ended: 2 });
    for (const executionId of [first, second])
      await expectEnded({ run, executionId }, 'initiator', 'left the company');
    expect(ended(plain)).toBe(false);
    await expectDenied(world.run(flags, './watcher'), 'dependency-revoked');
  });

  it('ak: what its host runs ends, and the host gets nothing more', async () => {
    away = await start(elsewhere);
    const one = await start(another);
    const { ak } = (await told(one.executionId))['environment'] as { ak: string };
    const answer = await revoke('ak', ak, 'key seen elsewhere');
    expect(answer).toMatchObject({ ok: true, ended: 1 });
    await expectEnded(one, 'ak', 'key seen elsewhere');
    expect([plain, away].some(ended)).toBe(false);
    await expectDenied(world.runAt(another, [], './watcher'), 'e3-revoked');
  });

  it('ek-ca: what runs on hosts that it vouches for ends, and on no other', async () => {
    const { ekRoots } = (await told(plain.executionId))['environment'] as { ekRoots: string[] };
    const answer = await revoke('ek-ca', ekRoots[0], 'factory broken into');
    expect(answer).toMatchObject({ ok: true, ended: 1 });
    await expectEnded(plain, 'ek-ca', 'factory broken into');
    expect(ended(away)).toBe(false);
    await expectDenied(world.run([], './watcher'), 'dependency-revoked');
  });

  it('authority: what it allowed ends, wherever it runs', async () => {
    const { authorities } = (await told(away.executionId))['policy'] as { authorities: string[] };
    const answer = await revoke('authority', authorities[0], 'key lost');
    expect(answer).toMatchObject({ ok: true, ended: 1 });
    await expectEnded(away, 'authority', 'key lost');
    await expectDenied(world.runAt(elsewhere, [], './watcher'), 'dependency-revoked');
  });
});
