import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Executions } from '../../src/gateway/executions.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { GatewayWorld, OWN_USER } from './world.ts';

vi.setConfig({ testTimeout: 120_000 });

const DENIAL = { check: 'revoked', reason: 'key lost' };

describe('an execution that was asked for and is not there yet', () => {
  it('may start until it is ended, and only it is', async () => {
    const executions = new Executions();
    executions.expect('one');
    executions.expect('two');
    executions.requireNotEnded('one');
    await executions.end(['one', 'unknown'], DENIAL);
    const { detail } = expectRefusal('revoked', () => {
      executions.requireNotEnded('one');
    });
    expect(detail).toEqual({ denial: DENIAL });
    executions.requireNotEnded('two');
    // What nobody asked for yet is none of this gateway's: another may come by that name.
    executions.expect('unknown');
    executions.requireNotEnded('unknown');
    executions.forget('one');
    expect(executions.active()).toEqual([]);
  });
});

describe('a gateway', () => {
  const directory = temporaryDirectory();
  // As /var/lib and /run are: the child gets there as another user.
  chmodSync(directory, 0o755);
  let world: GatewayWorld;
  beforeAll(async () => {
    world = await GatewayWorld.start(directory);
  }, 180_000);
  afterAll(async () => {
    await world.stop();
    if (existsSync(world.credentials)) execFileSync('umount', [world.credentials]);
  });

  it('starts nothing that was revoked between its allowing and its start', async () => {
    const gateway = world.gateway();
    const order = await world.order(world.file('never', '#!/bin/sh\necho ran\n'));
    const { client } = world.host;
    const request = client.request.bind(client);
    let allowed = 0;
    // The revocation comes while the answer is on its way: from the event stream, which is another connection.
    client.request = async (method, url, options) => {
      const answer = await request(method, url, options);
      if (url === '/v1/executions') {
        const { request: asked } = options?.body as { request: { executionId: string } };
        await gateway.end([asked.executionId], DENIAL);
        allowed++;
      }
      return answer;
    };
    const stdout = new PassThrough();
    let printed = '';
    stdout.on('data', (part: Buffer) => (printed += part.toString()));
    const [stdin, stderr] = [new PassThrough().resume(), new PassThrough().resume()];
    const events: unknown[] = [];
    const streams = { stdin, stdout, stderr };
    try {
      const { detail } = await expectRejection(
        'revoked',
        gateway.runArtifact(order, OWN_USER, { streams, event: (event) => events.push(event) }),
      );
      expect(detail).toEqual({ denial: DENIAL });
    } finally {
      client.request = request;
    }
    expect(allowed).toBe(1);
    expect([printed, events, gateway.active()]).toEqual(['', [], []]);
    expect(readdirSync(world.credentials)).toEqual([]);
    expect(readdirSync(path.join(world.host.state.path, 'run'))).toEqual([]);
  });

  it('keeps nothing waiting for what has ended by itself when its caller leaves after it', async () => {
    const gateway = world.gateway();
    const caller = new AbortController();
    const pass = () => new PassThrough().resume();
    const streams = { stdin: pass(), stdout: pass(), stderr: pass() };
    const order = await world.order(world.file('brief', '#!/bin/sh\nexit 0\n'));
    const ended = await gateway.runArtifact(order, OWN_USER, { streams, signal: caller.signal });
    expect(ended).toMatchObject({ status: 0, denial: null });
    // A timer for the KILL would keep the process for as long as the grace.
    const timers = (): number => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length;
    const before = timers();
    caller.abort();
    expect(timers()).toBe(before);
    expect(ended.denial).toBeNull();
  });

  it('ends at once what was revoked in the moment of its start', async () => {
    const gateway = world.gateway({ graceMs: 200 });
    const order = await world.order(world.file('begun', '#!/bin/sh\nsleep 8\necho ran\n'));
    const { client } = world.host;
    const request = client.request.bind(client);
    let executionId = '';
    client.request = async (method, url, options) => {
      if (url === '/v1/executions')
        ({ executionId } = (options?.body as { request: { executionId: string } }).request);
      return await request(method, url, options);
    };
    const stdout = new PassThrough();
    let printed = '';
    stdout.on('data', (part: Buffer) => (printed += part.toString()));
    const active: number[] = [];
    // The command is there and its output is connected, and the gateway has it under no name yet.
    stdout.once('pipe', () => {
      active.push(gateway.active().length);
      void gateway.end([executionId], DENIAL);
    });
    const [stdin, stderr] = [new PassThrough().resume(), new PassThrough().resume()];
    try {
      const ended = await gateway.runArtifact(order, OWN_USER, { streams: { stdin, stdout, stderr } });
      expect(ended.denial).toEqual(DENIAL);
    } finally {
      client.request = request;
    }
    expect([active, printed, gateway.active()]).toEqual([[0], '', []]);
    expect(readdirSync(world.credentials)).toEqual([]);
  });
});
