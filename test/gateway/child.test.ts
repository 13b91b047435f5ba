import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { duringCall } from '../../native/process-gate.ts';
import { refuse } from '../../src/base/index.ts';
import { startChild } from '../../src/gateway/confine/child.ts';
import type { Child } from '../../src/gateway/confine/child.ts';
import { bubblewrap, withoutNamespaces } from '../../src/gateway/confine/sandbox.ts';
import type { Confinement } from '../../src/gateway/confine/sandbox.ts';
import { expectRejection } from '../support/refusals.ts';

const confinement: Confinement = {
  user: process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : { uid: 0, gid: 0 },
  ...{ cwd: '/', environment: {}, hidden: [], shown: [] },
};

/** A reader that takes one part and no other. */
const stuck = (): Writable => new Writable({ highWaterMark: 1, write: () => undefined });

async function start(isolation: string, script: string, stdout: Writable): Promise<Child> {
  const command = ['/bin/sh', '-c', script];
  const confined =
    isolation === 'bubblewrap' ? bubblewrap(command, confinement) : withoutNamespaces(command, confinement);
  const stdin = new PassThrough().end();
  const streams = { stdin, stdout, stderr: new PassThrough().resume() };
  return await startChild(confined, streams, {
    endRest: () => Promise.resolve(),
    requireWanted: () => undefined,
  });
}

it('isn’t started when nobody wants it any more by the time that the TPM is free', async () => {
  let wanted = true;
  let answer = (): void => undefined;
  const command = duringCall(
    () =>
      new Promise<void>((resolve) => {
        answer = resolve;
      }),
  );
  const streams = { stdin: new PassThrough().end(), stdout: stuck(), stderr: stuck() };
  const starting = startChild(withoutNamespaces(['/bin/true'], confinement), streams, {
    endRest: () => Promise.resolve(),
    requireWanted: () => {
      if (!wanted) refuse('revoked', 'it was revoked before it was started');
    },
  });
  const refused = expectRejection('revoked', starting);
  wanted = false;
  answer();
  await command;
  await refused;
});

describe.each(['bubblewrap', 'setpriv'])('what runs by %s', (isolation) => {
  it('is over when it is killed, though its caller doesn’t read', async () => {
    const child = await start(isolation, 'head -c 1000000 /dev/zero', stuck());
    let ended = false;
    void child.ended.then(() => (ended = true));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(ended).toBe(false);
    child.kill('SIGKILL');
    expect(await child.ended).toEqual({ status: null, signal: 'SIGKILL' });
  }, 15_000);

  it('is killed whatever it ignores', async () => {
    const stdout = new PassThrough();
    const child = await start(isolation, 'trap "" TERM; echo ready; while :; do sleep 0.05; done', stdout);
    await new Promise((resolve) => stdout.once('data', resolve));
    child.kill('SIGTERM');
    child.kill('SIGKILL');
    expect(await child.ended).toEqual({ status: null, signal: 'SIGKILL' });
  });
});

it('what has exited gets no signal more: its number may be another’s by now', async () => {
  const child = await start('bubblewrap', 'head -c 100000 /dev/zero; exit 4', stuck());
  await new Promise((resolve) => setTimeout(resolve, 1500));
  child.kill('SIGTERM');
  child.kill('SIGKILL');
  expect(await child.ended).toEqual({ status: 4, signal: null });
}, 15_000);
