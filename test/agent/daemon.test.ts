import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NO_EXECUTIONS, askAgent, enrollHost, startAgent, systemClock } from '../../src/agent/index.ts';
import type { RunnerPort, RunningAgent } from '../../src/agent/index.ts';
import { FrameDecoder, MAX_PAYLOAD, encodeFrame, encodeJsonFrame } from '../../src/client/local/frames.ts';
import { Refusal, concat } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { AGENT_SCHEMA, readConfig } from '../../src/config/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { AgentWorld } from './world.ts';

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
// A path of its own, since other users' directories are closed to the one that is refused below.
const open = mkdtempSync(path.join(tmpdir(), 'sealgate-socket-'));
const socket = path.join(open, 'agent.sock');
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  chmodSync(open, 0o755);
  tpm = await startSwtpm();
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
  await enrollHost(world.order('host-a', tpm, state, await world.invite('host-a')));
}, 180_000);
afterAll(async () => {
  await world.stop();
  await tpm.stop();
  rmSync(open, { recursive: true, force: true });
});

/** Runs what needs no verifier: it echoes, waits for signals, and tells what it saw. */
class EchoRunner implements RunnerPort {
  readonly ended: { ids: readonly string[]; reason: JsonObject }[] = [];
  running = 0;
  readonly renew = NO_EXECUTIONS.renew;

  active(): ReturnType<RunnerPort['active']> {
    return [];
  }

  recover(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  end(ids: readonly string[], reason: JsonObject): Promise<void> {
    this.ended.push({ ids, reason });
    return Promise.resolve();
  }

  async run(
    order: JsonObject,
    caller: { uid: number },
    streams: Parameters<RunnerPort['run']>[2],
  ): Promise<Awaited<ReturnType<RunnerPort['run']>>> {
    this.running++;
    try {
      const end = { status: 0, signal: null, denial: null, report: { uid: caller.uid, order } };
      if (order['do'] === 'echo') {
        streams.event({ executionId: 'e-1' });
        streams.stderr.write('to stderr');
        for await (const part of streams.stdin)
          if (!streams.stdout.write(part as Buffer)) await once(streams.stdout, 'drain');
        return { ...end, status: 3 };
      }
      if (order['do'] !== 'wait') throw new Refusal('policy-denied', 'no rule permits this');
      return await new Promise((resolve) => {
        streams.onSignal((signal) => {
          resolve({ ...end, status: null, signal });
        });
        streams.signal.addEventListener('abort', () => {
          resolve({ ...end, status: null, signal: 'TERM' });
        });
      });
    } finally {
      this.running--;
    }
  }
}

async function start(settings: object = {}) {
  const runner = new EchoRunner();
  const events: JsonObject[] = [];
  const yaml = JSON.stringify({
    state,
    socket: { path: socket, mode: '0666', users: '0' },
    attestation: { intervalSeconds: 3600 },
    shutdown: { graceSeconds: 1 },
    ...settings,
  });
  const { config } = readConfig(AGENT_SCHEMA, new TextEncoder().encode(yaml));
  const agent = await startAgent({
    config,
    clock: systemClock,
    random: systemRandom,
    runner: () => runner,
    report: (event) => events.push(event),
  });
  return { agent, runner, events };
}

/** An agent for a test, stopped after it. */
async function withAgent(
  use: (running: { agent: RunningAgent; runner: EchoRunner; events: JsonObject[] }) => Promise<void>,
  settings: object = {},
): Promise<void> {
  const running = await start(settings);
  try {
    await use(running);
  } finally {
    await running.agent.stop();
  }
}

const run = (order: JsonObject): JsonObject => ({ v: 1, op: 'run', order });

describe('the agent', () => {
  it('attests at start, tells how it stands, and relays what runs', async () => {
    await withAgent(async ({ agent, events }) => {
      expect(await agent.attested).toBe(true);
      expect(events.find(({ event }) => event === 'attested')).toMatchObject({ policyVersion: 1 });
      expect(statSync(socket).mode & 0o777).toBe(0o666);
      const status = await askAgent(socket, { v: 1, op: 'status' });
      expect(status).toMatchObject({ name: 'host-a', attestation: { failure: null, policyVersion: 1 } });
      // Revocations come by a stream of their own, which status tells of.
      while (!events.some(({ event }) => event === 'events-open')) await sleep(20);
      expect(await askAgent(socket, { v: 1, op: 'status' })).toMatchObject({
        ...{ events: { connected: true, lastEventId: null, failure: null }, until: null },
      });
      expect(await askAgent(socket, { v: 1, op: 'attest' })).toMatchObject({ policyVersion: 1 });

      const big = Buffer.alloc(3 * MAX_PAYLOAD + 17, 'sealgate ');
      const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
      const told: JsonObject[] = [];
      const output = text(stdout);
      const errors = text(stderr);
      const answer = askAgent(socket, run({ do: 'echo' }), {
        ...{ stdin, stdout, stderr },
        onEvent: (event) => told.push(event),
      });
      stdin.end(big);
      expect(await answer).toMatchObject({ status: 3, signal: null, report: { uid: process.getuid?.() } });
      stdout.end();
      stderr.end();
      expect((await output) === big.toString()).toBe(true);
      expect(await errors).toBe('to stderr');
      expect(told).toEqual([{ executionId: 'e-1' }]);
    });
    expect(existsSync(socket)).toBe(false);
  });

  it('passes signals on, ends what runs when its caller is gone, and tells denials', async () => {
    await withAgent(async ({ runner }) => {
      const signalled = askAgent(socket, run({ do: 'wait' }), {
        onSignals: (send) => {
          send('USR1');
        },
      });
      expect(await signalled).toMatchObject({ status: null, signal: 'USR1' });
      const gone = new AbortController();
      const left = askAgent(socket, run({ do: 'wait' }), { signal: gone.signal });
      while (runner.running === 0) await sleep(5);
      gone.abort();
      await expectRejection('agent-unreachable', left);
      while (runner.running > 0) await sleep(5);
      const refusal = await expectRejection('policy-denied', askAgent(socket, run({ do: 'other' })));
      expect(refusal.reason).toBe('no rule permits this');
    });
  });

  it('lets what runs end within the grace when it stops, then ends it', async () => {
    const { agent, runner } = await start();
    const waiting = askAgent(socket, run({ do: 'wait' }));
    const lost = expectRejection('agent-unreachable', waiting);
    while (runner.running === 0) await sleep(5);
    await agent.stop();
    await lost;
    expect(runner.running).toBe(0);
    expect(existsSync(socket)).toBe(false);
    await expectRejection('agent-unreachable', askAgent(socket, { v: 1, op: 'status' }));
  });

  it('refuses other users by what the kernel says of them', async () => {
    await withAgent(async ({ runner }) => {
      const frame = Buffer.from(encodeJsonFrame('request', run({ do: 'echo' }))).toString('hex');
      const script = `
        const s = require('node:net').connect(${JSON.stringify(socket)});
        s.write(Buffer.from('${frame}', 'hex'));
        s.pipe(process.stdout);`;
      const child = spawn(process.execPath, ['-e', script], {
        ...{ uid: 65534, gid: 65534, cwd: '/', env: {} },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const answer = Buffer.from(await new Response(child.stdout as never).arrayBuffer());
      const [result] = new FrameDecoder().push(new Uint8Array(answer));
      expect(result?.type).toBe('result');
      expect(Buffer.from(result?.payload ?? []).toString()).toContain('local-caller');
      expect(runner.running).toBe(0);
    });
  });

  it('refuses what is no request', async () => {
    await withAgent(async () => {
      const cases: [Uint8Array, string][] = [
        [encodeFrame('stdin'), 'local-frame'],
        [encodeJsonFrame('request', { v: 2, op: 'status' }), 'local-frame'],
        [encodeJsonFrame('request', { v: 1, op: 'run' }), 'local-frame'],
        [encodeFrame('request', new Uint8Array([1, 2])), 'malformed'],
        [Uint8Array.of(0x77, 0, 0, 0, 0), 'local-frame'],
        [Uint8Array.of(0x01, 0xff, 0, 0, 0), 'local-frame'],
      ];
      for (const [bytes, check] of cases) {
        const client = connect(socket);
        client.write(bytes);
        const parts: Uint8Array[] = [];
        for await (const part of client) parts.push(new Uint8Array(part as Buffer));
        const [result] = new FrameDecoder().push(concat(parts));
        expect(JSON.parse(Buffer.from(result?.payload ?? []).toString())).toMatchObject({
          denial: { check },
        });
      }
    });
  });

  it('takes the place of a socket that nobody listens to, and no other’s', async () => {
    writeFileSync(socket, 'a file');
    await expectRejection('local-socket', start());
    rmSync(socket);
    const first = await start();
    await expectRejection('local-socket', start());
    await first.agent.stop();
  });
});

describe('frames', () => {
  it('are put together from any parts', () => {
    const bytes = concat([encodeJsonFrame('request', { a: 1 }), encodeFrame('stdin', new Uint8Array([5]))]);
    const decoder = new FrameDecoder();
    const frames = [...bytes].flatMap((byte) => decoder.push(Uint8Array.of(byte)));
    expect(frames.map(({ type }) => type)).toEqual(['request', 'stdin']);
    expectRefusal('local-frame', () => decoder.push(Uint8Array.of(0x7f, 0, 0, 0, 0)));
    expect(() => encodeFrame('stdin', new Uint8Array(MAX_PAYLOAD + 1))).toThrow(RangeError);
  });
});

describe('attestation goes on', () => {
  it('when the verifier is away for a while, and says so', async () => {
    await world.stop();
    await withAgent(
      async ({ agent, runner, events }) => {
        expect(await agent.attested).toBe(false);
        const check = 'verifier-unreachable';
        expect(events).toContainEqual(expect.objectContaining({ event: 'failed', check }));
        while (!events.some(({ event }) => event === 'events-lost')) await sleep(20);
        expect(await askAgent(socket, { v: 1, op: 'status' })).toMatchObject({
          attestation: { failingSince: expect.any(Number) as number, failure: { check } },
          events: { connected: false, failure: { check } },
        });
        await world.comeBack();
        while (!events.some(({ event }) => event === 'attested')) await sleep(50);
        while (!events.some(({ event }) => event === 'events-open')) await sleep(50);
        expect(runner.ended).toEqual([]);
      },
      { attestation: { intervalSeconds: 3600, maxBackoffSeconds: 1 } },
    );
  });

  it('when its TPM was restarted', async () => {
    await withAgent(
      async ({ agent, events }) => {
        await agent.attested;
        await tpm.reboot({ shutdown: 'none' });
        events.length = 0;
        await askAgent(socket, { v: 1, op: 'attest' }).catch(() => undefined);
        while (!events.some(({ event }) => event === 'attested')) await sleep(50);
      },
      { attestation: { intervalSeconds: 3600, maxBackoffSeconds: 1 } },
    );
  });
});
