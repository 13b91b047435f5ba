import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DaemonWorld, passable } from '../e2e/daemon-world.ts';
import type { Started } from '../e2e/daemon-world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

// Each command is a process that loads the whole program.
vi.setConfig({ testTimeout: 180_000 });

// What a revocation and a verifier that is away mean for processes that run: verifier, agent and runs are processes of
// their own. Only the order of things is asserted; how long they take is scripts/bench/revocation's.
const directory = passable(temporaryDirectory());
let world: DaemonWorld;
beforeAll(async () => {
  world = await DaemonWorld.start(directory, 40);
}, 180_000);
afterAll(async () => {
  await world.stop();
  execFileSync('umount', [world.credentials]);
});

/** Says how many files are in its credentials directory while it runs, and after it was told to end. */
const watching = (name: string): string =>
  `#!/bin/sh\n# ${name}: an artifact of its own\n` +
  'cd "$CREDENTIALS_DIRECTORY"\n' +
  'trap \'sleep 0.5; echo "left $(ls -A | wc -l)"; exit 4\' TERM\n' +
  'echo "has $(ls -A | wc -l)"\nwhile :; do sleep 0.05; done\n';
const credential = ['--credential', 'workload'];

async function start(name: string): Promise<{ readonly run: Started; readonly executionId: string }> {
  await world.script(name, watching(name));
  const run = world.run(credential, `./${name}`);
  await world.until(() => run.stdout().startsWith('has '), run);
  // Its start is reported a moment after it began.
  for (;;) {
    const { executions } = await world.operate('exec', 'ls', '--state', 'running');
    const [found] = (executions as Record<string, string>[]).slice(-1);
    if (found !== undefined) return { run, executionId: String(found['executionId']) };
  }
}
const shown = async (executionId: string) => await world.operate('exec', 'show', executionId);
const eventsOf = (agent: Started, event: string): Record<string, unknown>[] =>
  agent
    .stderr()
    .split('\n')
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('a revoked execution', () => {
  it('ends at once, without its credentials, and its host says so', async () => {
    const { run, executionId } = await start('revoked');
    const order = ['exec', 'revoke', executionId, '--reason', 'wrong input'];
    const revoked = await world.operate(...order);
    expect(revoked).toMatchObject({ ok: true, kind: 'execution', id: executionId, ended: 1 });
    expect(await run.exit).toBe(4);
    expect(run.stdout()).toMatch(/^has [1-9]\d*\nleft 0\n$/);
    expect(world.report()).toMatchObject({
      ...{ ok: false, status: 4 },
      denial: { check: 'revoked', detail: { kind: 'execution', id: executionId } },
    });
    expect(eventsOf(world.agent, 'revoked')).toMatchObject([{ executions: [executionId] }]);
    // Its authorization had not ended: it was told, and not only out of time.
    const record = await shown(executionId);
    expect(record).toMatchObject({ state: 'revoked', reason: 'wrong input', exit: { status: 4 } });
    expect(Date.parse(String(record['expiresAt']))).toBeGreaterThan(Date.now());
    expect(world.left()).toEqual([]);
  });

  it('ends when its agent wakes after the revocation, and a new verifier tells it', async () => {
    const { run, executionId } = await start('asleep');
    world.agent.child.kill('SIGSTOP');
    await world.operate('revoke', 'execution', executionId, '--reason', 'while it slept');
    // The event that was sent is lost with the verifier that sent it.
    await world.killVerifier();
    await world.startVerifier();
    expect(run.child.exitCode).toBeNull();
    const renewals = eventsOf(world.agent, 'attested').length;
    world.agent.child.kill('SIGCONT');
    expect(await run.exit).toBe(4);
    expect(run.stdout()).toContain('left 0\n');
    expect(world.left()).toEqual([]);
    expect(await shown(executionId)).toMatchObject({
      state: 'revoked',
      sequence: expect.any(Number) as number,
    });
    // Nothing of it was renewed after it woke.
    for (const event of eventsOf(world.agent, 'attested').slice(renewals))
      expect(event).toMatchObject({ renewed: 0 });
  });

  it('ends with what its artifact’s revocation says', async () => {
    const { run, executionId } = await start('artifact');
    const { artifact } = await shown(executionId);
    const { digest } = artifact as Record<string, string>;
    const revoked = await world.operate('revoke', 'artifact', String(digest), '--reason', 'CVE-2026-1234');
    expect(revoked).toMatchObject({ kind: 'artifact', ended: 1, executions: [{ executionId }] });
    expect(await run.exit).toBe(4);
    expect(world.report()).toMatchObject({ denial: { check: 'revoked', detail: { kind: 'artifact' } } });
    const again = world.run(credential, './artifact');
    expect(await again.exit).toBe(125);
    expect(again.stderr()).toContain('[artifact-revoked]');
  });
});

describe('a host that is quarantined', () => {
  it('loses what runs there at once, and goes on when it is restored', async () => {
    const { run, executionId } = await start('quarantined');
    const done = await world.operate('host', 'quarantine', 'host-a', '--reason', 'a look');
    expect(done).toMatchObject({ ok: true, state: 'quarantined', ended: 1 });
    expect(await run.exit).toBe(4);
    expect(await shown(executionId)).toMatchObject({ state: 'revoked', reason: 'a look' });
    const refused = world.run(credential, './quarantined');
    expect(await refused.exit).toBe(125);
    expect(refused.stderr()).toContain('[host-quarantined]');
    const before = eventsOf(world.agent, 'attested').length;
    await world.operate('host', 'restore', 'host-a', '--reason', 'fine');
    // It attests because it is told to, and runs again.
    await world.until(() => eventsOf(world.agent, 'attested').length > before, world.agent);
    const next = await start('restored');
    next.run.child.kill('SIGTERM');
    expect(await next.run.exit).toBe(4);
  });
});

describe('a gateway that is cut from its verifier', () => {
  it('goes on until its authorizations end, says so, and ends what runs; the verifier back, it works again', async () => {
    const { run, executionId } = await start('cut');
    await world.killVerifier();
    await world.until(() => eventsOf(world.agent, 'events-lost').length > 0, world.agent);
    const unreachable = () =>
      eventsOf(world.agent, 'failed').filter(({ check }) => check === 'verifier-unreachable');
    await world.until(() => unreachable().length > 0, world.agent);
    // It runs on, and everybody can see until when.
    expect(run.child.exitCode).toBeNull();
    const failed = unreachable().at(-1);
    expect(failed).toMatchObject({ executions: 1 });
    const until = Date.parse(String(failed?.['until']));
    expect(await run.exit).toBe(4);
    expect(Date.now()).toBeGreaterThanOrEqual(until);
    expect(world.report()).toMatchObject({ denial: { check: 'expired' } });
    expect(run.stdout()).toContain('left 0\n');
    expect(readdirSync(world.credentials)).toEqual([]);
    const opened = eventsOf(world.agent, 'events-open').length;
    await world.startVerifier();
    await world.until(() => eventsOf(world.agent, 'events-open').length > opened, world.agent);
    // Nobody renews what has ended: the verifier finds that it is lost.
    expect((await shown(executionId))['state']).toMatch(/^(?:running|lost)$/);
    const next = await start('back');
    next.run.child.kill('SIGTERM');
    expect(await next.run.exit).toBe(4);
  });
});
