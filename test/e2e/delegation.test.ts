import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { temporaryDirectory } from '../support/temporary.ts';
import { DaemonWorld, passable } from './daemon-world.ts';
import type { Started } from './daemon-world.ts';

// Each command is a process that loads the whole program.
vi.setConfig({ testTimeout: 240_000 });

// An agent program that starts a tree of others: a verifier, two hosts with TPMs of their own, and what they run are
// processes; the programs start each other by `sealgate run`, as anybody's would.
const directory = passable(temporaryDirectory());
const MAIN = path.resolve(import.meta.dirname, '../../dist/src/cli/main.js');
const CLIENT = path.resolve(import.meta.dirname, '../../dist/src/client/index.js');
let world: DaemonWorld;
let away: string;
beforeAll(async () => {
  world = await DaemonWorld.start(directory, 60);
  away = await world.addHost('host-b');
  await world.script('planner', PLANNER);
}, 600_000);
afterAll(async () => {
  await world.stop();
  execFileSync('umount', [world.credentials]);
});

/**
 * One script with a part for each place in the tree. `here` starts a child on this host by the socket that the process
 * finds, `there` one on the other host by that host's agent and a proof by the own socket.
 */
const PLANNER = `#!/bin/sh
parent=$(mktemp)
trap 'rm -f "$parent"' EXIT
printf '{"v":1,"authorization":"%s","socket":"%s"}' \\
  "$(cat "$CREDENTIALS_DIRECTORY/_authorization.jwt")" "$SEALGATE_CHILD_SOCKET" > "$parent"
pass="--env RUNTIME --env MAIN --env AWAY --env PLANNER"
here() { "$RUNTIME" "$MAIN" run $pass "$@"; }
there() { "$RUNTIME" "$MAIN" run $pass --socket "$AWAY" --parent "$parent" "$@"; }
case $1 in
root)
  there --scope reports.us.sum --scope reports.us.count -- "$PLANNER" us &
  us=$!
  here --scope 'reports.eu.*' -- "$PLANNER" eu
  echo "eu ended with $?"
  wait $us
  echo "us ended with $?"
  ;;
eu) there --scope reports.eu.sum -- "$PLANNER" leaf ;;
us) here --scope reports.us.sum -- "$PLANNER" waiting ;;
leaf) echo "leaf has $(ls "$CREDENTIALS_DIRECTORY" | tr '\\n' ' ')" ;;
greedy)
  here --scope reports.eu.sum -- "$PLANNER" leaf
  echo "other scope: $?"
  here --credential database -- "$PLANNER" leaf
  echo "other credential: $?"
  ;;
waiting) echo waiting; while :; do sleep 0.05; done ;;
esac
`;

const flags = (...scopes: string[]): string[] => [
  ...['--env', `RUNTIME=${process.execPath}`, '--env', `MAIN=${MAIN}`, '--env', `AWAY=${away}`],
  ...['--env', `PLANNER=${directory}/artifacts/planner`],
  ...scopes.flatMap((scope) => ['--scope', scope]),
];

interface Shown {
  readonly executionId: string;
  readonly host: string;
  readonly hostId: string;
  readonly parent: string | null;
  readonly depth: number;
  readonly state: string;
}
const all = async (): Promise<readonly Shown[]> =>
  (await world.operate('exec', 'ls'))['executions'] as readonly Shown[];
/** The executions of a tree, root first. */
async function treeOf(root: string): Promise<readonly Shown[]> {
  const executions = await all();
  const under = (id: string): readonly Shown[] =>
    executions.flatMap((one) => (one.parent === id ? [one, ...under(one.executionId)] : []));
  return [...executions.filter(({ executionId }) => executionId === root), ...under(root)];
}
const rootOf = async (): Promise<string> =>
  (await all()).find(({ parent, state }) => parent === null && state === 'running')?.executionId ?? '';

/** Waits for a line, with everything that was printed when it doesn't come. */
async function printed(run: Started, line: string): Promise<void> {
  await world.until(() => run.stdout().includes(line), run);
}

describe('a tree over two hosts, three levels deep', () => {
  it('narrows downwards, loses one branch to a revocation, and is told by the log', async () => {
    const run = world.run(flags('reports.*'), './planner', 'root');
    await printed(run, 'waiting\n');
    await printed(run, 'eu ended with 0\n');
    expect(run.stdout()).toContain('leaf has _authorization.jwt _authorization.key \n');

    const root = await rootOf();
    const tree = await treeOf(root);
    expect(tree.map(({ depth }) => depth).sort()).toEqual([0, 1, 1, 2, 2]);
    expect(new Set(tree.map(({ hostId }) => hostId)).size).toBe(2);
    const branch = tree.find(({ depth, state }) => depth === 1 && state === 'running')?.executionId ?? '';
    expect(await world.operate('exec', 'revoke', branch, '--reason', 'looks wrong')).toMatchObject({
      ok: true,
    });
    await printed(run, 'us ended with ');
    expect(await run.exit).toBe(0);
    expect(run.stdout()).toMatch(/us ended with (?:143|137)\n/);

    const after = await treeOf(root);
    const states = (depth: number): readonly string[] =>
      after
        .filter((one) => one.depth === depth)
        .map(({ state }) => state)
        .sort();
    expect([states(0), states(1), states(2)]).toEqual([
      ['ended'],
      ['ended', 'revoked'],
      ['ended', 'revoked'],
    ]);
    // The log tells it to whoever has its key: each entry is verified by the command.
    expect(await world.operate('audit', 'verify')).toMatchObject({ ok: true });
    const story = JSON.stringify(await world.operate('exec', 'lineage', root, '--descendants'));
    for (const { executionId } of after) expect(story).toContain(executionId);
    expect(story).toContain('looks wrong');
  });

  it('is started by sealgate/client too', async () => {
    await world.script(
      'by-client.mjs',
      `#!${process.execPath}
import { ownExecution, runChild } from ${JSON.stringify(CLIENT)};
const { scopes } = await ownExecution();
console.log('has', scopes.join());
const order = { command: [process.argv[2], 'leaf'], scopes: ['reports.eu'] };
const { status, denial } = await runChild(order, { stdout: process.stdout });
console.log('ended with', status, denial);
await runChild({ ...order, scopes: ['admin.all'] }).catch(({ check, auditIndex }) => {
  console.log('refused', check, /^\\d+$/.test(auditIndex));
});
`,
    );
    const planner = path.join(directory, 'artifacts/planner');
    const run = world.run(flags('reports.*'), './by-client.mjs', planner);
    expect([await run.exit, run.stderr()]).toEqual([0, '']);
    expect(run.stdout().split('\n')).toEqual([
      'has reports.*',
      'leaf has _authorization.jwt _authorization.key _child.sock ',
      'ended with 0 null',
      'refused scope_not_granted true',
      '',
    ]);
  });

  it('refuses a program what its parent does not have', async () => {
    const run = world.run(flags('reports.us'), './planner', 'greedy');
    expect(await run.exit).toBe(0);
    expect(run.stdout()).toBe('other scope: 125\nother credential: 125\n');
    expect(run.stderr()).toContain('[scope_not_granted]');
    expect(run.stderr()).toContain('[not_narrower]');
  });
});
