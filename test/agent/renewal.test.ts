import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attestHost, systemClock } from '../../src/agent/index.ts';
import type { Gateway } from '../../src/gateway/index.ts';
import { CHILD_PROGRAM } from '../support/child-program.ts';
import { expectRejection } from '../support/refusals.ts';
import { GatewayWorld, OWN_USER } from '../gateway/world.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
// As /var/lib is: the child gets there as another user.
chmodSync(directory, 0o755);
let world: GatewayWorld;
let gateway: Gateway;
beforeAll(async () => {
  world = await GatewayWorld.start(directory);
  gateway = world.gateway();
}, 120_000);
afterAll(async () => {
  await world.stop();
  if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
});

/** Starts a script that runs until it is ended; gives what becomes of it once it runs. */
async function startWaiting(name: string): Promise<ReturnType<Gateway['run']>[]> {
  const file = world.file(name, '#!/bin/sh\nwhile :; do sleep 0.05; done\n');
  const stream = () => new PassThrough().resume();
  const before = gateway.active().length;
  const running = gateway.runArtifact(await world.order(file), OWN_USER, {
    streams: { stdin: stream(), stdout: stream(), stderr: stream() },
  });
  // In a list, so that waiting for its start does not wait for its end.
  const started = [running];
  running.catch(() => undefined);
  while (gateway.active().length === before) await Promise.race([sleep(20), running]);
  return started;
}

describe('a host attests with its executions', () => {
  it('and all of them are renewed, their credentials in one object', async () => {
    const runs = [...(await startWaiting('one')), ...(await startWaiting('two'))];
    const before = gateway.active();
    expect(before.map(({ sequence }) => sequence)).toEqual([0, 0]);
    const outcome = await attestHost(world.host, before, systemClock);
    expect(outcome.ended).toEqual([]);
    expect(outcome.renewed.map(({ executionId }) => executionId)).toEqual(
      before.map(({ executionId }) => executionId),
    );
    for (const { credentials } of outcome.renewed)
      expect(credentials.map(({ name }) => name)).toEqual(['workload', 'database']);
    await gateway.renew(outcome.renewed);
    const after = gateway.active();
    expect(after.map(({ sequence }) => sequence)).toEqual([1, 1]);
    expect(after[0]?.jti).not.toBe(before[0]?.jti);
    // What is over cannot be renewed: the authorization of before names no current one.
    const stale = await attestHost(world.host, [before[0] ?? after[0]!], systemClock);
    expect(stale.renewed).toEqual([]);
    expect(stale.ended.map(({ executionId }) => executionId)).toEqual([before[0]?.executionId]);
    const reason = { check: 'host-revoked', reason: 'the host was revoked' };
    await gateway.end(
      after.map(({ executionId }) => executionId),
      reason,
    );
    for (const end of await Promise.all(runs)) expect(end).toMatchObject({ denial: reason });
  });

  it('and those that want it are told by a signal, children too, when all of their new files are there', async () => {
    // What a shell's handler reads is what is there when the signal comes.
    const read =
      'sha256sum "$CREDENTIALS_DIRECTORY"/_authorization.jwt "$CREDENTIALS_DIRECTORY"/workload.pem';
    const told = (signal: string): string => `trap 'echo "$0 ${signal}"; ${read}' ${signal}\n`;
    const loop = 'echo runs\nwhile :; do sleep 0.05; done\n';
    const child = world.file('told-child', `#!/bin/sh\n${told('USR1')}${loop}`);
    const order = await world.order(child, { credentials: ['workload'], onRenew: 'USR1' });
    const asks = JSON.stringify({ v: 1, op: 'run', order });
    const parent = world.file(
      'told-parent',
      CHILD_PROGRAM.replace(
        '\nimport ',
        `\nimport signal, subprocess\nsignal.signal(signal.SIGHUP, lambda *_: print('parent HUP', subprocess.getoutput('${read}'), flush=True))\nimport `,
      ),
    );
    const stdout = new PassThrough();
    let text = '';
    stdout.on('data', (part: Buffer) => (text += part.toString()));
    const quiet = () => new PassThrough().resume();
    const run = gateway.runArtifact(await world.order(parent, { args: [asks], onRenew: 'HUP' }), OWN_USER, {
      streams: { stdin: quiet(), stdout, stderr: quiet() },
    });
    run.catch(() => undefined);
    const printed = async (wanted: string): Promise<void> => {
      while (!text.includes(wanted)) await Promise.race([sleep(20), run]);
    };
    await printed('runs\n');
    const before = gateway.active();
    expect(before).toHaveLength(2);
    expect(text).not.toMatch(/HUP|USR1/);
    const { renewed } = await attestHost(world.host, before, systemClock);
    await gateway.renew(renewed);
    await printed('parent HUP');
    await printed('USR1\n');
    for (const { authorization, credentials } of renewed) {
      const [svid] = credentials;
      const pem = (svid?.['certificatesPem'] as readonly string[]).join('');
      for (const [name, content] of [
        ['_authorization.jwt', `${authorization}\n`],
        ['workload.pem', pem],
      ] as const) {
        const digest = createHash('sha256').update(content).digest('hex');
        await printed(`${digest}  ${world.credentials}`);
        expect(text).toMatch(new RegExp(`${digest}  .*/${name}`));
      }
    }
    // Each once, and not before: a second telling would be of the files before or after these.
    expect(text.match(/parent HUP|USR1$/gm)).toHaveLength(2);
    await gateway.end(
      before.map(({ executionId }) => executionId),
      { check: 'test', reason: 'the test is over' },
    );
    expect(await run).toMatchObject({ denial: { check: 'test' } });
  });

  it('and none of them by the proof of another key', async () => {
    const [run] = await startWaiting('three');
    const [one] = gateway.active();
    if (one === undefined || run === undefined) throw new Error('nothing runs');
    const stolen = { ...one, prove: () => Promise.resolve('AA.AA.AA') };
    const outcome = await attestHost(world.host, [stolen], systemClock);
    expect(outcome.renewed).toEqual([]);
    expect(outcome.ended).toMatchObject([{ executionId: one.executionId }]);
    await gateway.end([one.executionId], { check: 'test', reason: 'the test is over' });
    await run;
  });

  it('and a renewal that can’t be opened is reported as a lost release', async () => {
    const [run] = await startWaiting('four');
    const [one] = gateway.active();
    if (one === undefined || run === undefined) throw new Error('nothing runs');
    // Root moves a PCR after the quote: between the answer and the unsealing.
    const { client } = world.host;
    const request = client.request.bind(client);
    client.request = async (...sent) => {
      const answer = await request(...sent);
      if (sent[1].endsWith('/attestations'))
        await world.host.tpm.pcrExtend(7, { sha256: new Uint8Array(32).fill(1) });
      return answer;
    };
    await expectRejection('release-lost', attestHost(world.host, [one], systemClock));
    client.request = request;
    await gateway.end([one.executionId], { check: 'test', reason: 'the test is over' });
    await run;
    const order = await world.order(world.file('five', '#!/bin/sh\n'));
    await expectRejection('host-quarantined', world.run(order));
  });
});
