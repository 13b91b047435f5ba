import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunOrder } from '../../src/gateway/index.ts';
import { CHILD_PROGRAM, resultsIn } from '../support/child-program.ts';
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
      constraints: { children: 2 },
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
});
