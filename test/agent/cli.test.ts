import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { askAgent } from '../../src/agent/index.ts';
import { findAgentConfig } from '../../src/cli/agent-config.ts';
import { UsageError } from '../../src/cli/errors.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { cli } from '../support/cli.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { AgentWorld } from './world.ts';

vi.setConfig({ testTimeout: 180_000 });

const directory = temporaryDirectory();
const state = path.join(directory, 'state');
// sun_path holds 107 characters.
const short = mkdtempSync(path.join(tmpdir(), 'sealgate-agent-'));
const socket = path.join(short, 's');
let world: AgentWorld;
let tpm: Swtpm;
beforeAll(async () => {
  tpm = await startSwtpm();
  world = await AgentWorld.start(directory, tpm);
  await world.publish();
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
  rmSync(short, { recursive: true, force: true });
});

const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
const enroll = (tokenFile: string) =>
  cli(
    ...['host', 'enroll', '--url', world.url, '--ca-fingerprint', world.caFingerprint, '--name', 'host-a'],
    ...['--token-file', tokenFile, '--tcti', tpm.tcti, '--state', state, '--json'],
    ...['--eventlog', path.join(directory, 'none'), '--ima', path.join(directory, 'none')],
  );
/** What `host check` says of the agent. The emulated TPM is the agent's: nothing else is looked at. */
const agentLine = async () => {
  const nowhere = ['--tcti', 'swtpm:path=/nowhere', '--socket', socket, '--json'];
  const { stdout } = await cli('host', 'check', ...nowhere);
  const items = json(stdout)['items'] as Record<string, string>[];
  return items.find(({ item }) => item === 'agent');
};
const attest = (...more: string[]) => cli('host', 'attest', '--state', state, '--json', ...more);

describe('sealgate host', () => {
  it('check says what is ready before and after enrollment, and changes nothing', async () => {
    const check = () => cli('host', 'check', '--tcti', tpm.tcti, '--state', state, '--json');
    const before = json((await check()).stdout)['items'] as { item: string; state: string }[];
    const stateOf = (items: typeof before, name: string) => items.find(({ item }) => item === name)?.state;
    expect(stateOf(before, 'TPM')).toBe('ready');
    expect(stateOf(before, 'EK certificate')).toBe('ready');
    expect(stateOf(before, 'state')).toBe('warning');
    expect(existsSync(state)).toBe(false);
    const absent = await cli('host', 'check', '--tcti', 'swtpm:path=/nowhere', '--json');
    expect(absent.exit).toBe(1);
    expect(json(absent.stdout)).toMatchObject({ ok: false });
    expect((await cli('host', 'check', '--tcti', tpm.tcti)).stdout).toContain('EK certificate');
  });

  it('enroll reads its token from a file that is nobody else’s, and attest attests', async () => {
    const file = path.join(directory, 'token');
    writeFileSync(file, `${await world.invite('host-a')}\n`, { mode: 0o644 });
    const open = await enroll(file);
    expect(open.exit).toBe(1);
    expect(json(open.stdout)).toMatchObject({ ok: false, denial: { check: 'secret-file' } });
    chmodSync(file, 0o600);
    const enrolled = await enroll(file);
    expect(json(enrolled.stdout)).toMatchObject({
      ok: true,
      name: 'host-a',
      trustDomain: 'example.org',
      state,
    });
    expect(enrolled.exit).toBe(0);
    expect(json((await enroll(file)).stdout)).toMatchObject({ denial: { check: 'agent-enrolled' } });
    const attested = await attest('--socket', socket);
    expect(json(attested.stdout)).toMatchObject({ ok: true, denial: null, policyVersion: 1 });
    writeFileSync(file, 'no token', { mode: 0o600 });
    expect((await enroll(file)).exit).toBe(1);
    const usage = await cli('host', 'enroll', '--url', world.url);
    expect(usage.exit).toBe(2);
  });

  it('attest says that a host is not enrolled', async () => {
    const none = await cli(
      'host',
      'attest',
      '--state',
      path.join(directory, 'nothing'),
      '--socket',
      socket,
      '--json',
    );
    expect(none.exit).toBe(1);
    expect(json(none.stdout)).toMatchObject({ denial: { check: 'agent-not-enrolled' } });
  });
});

describe('sealgate agent', () => {
  it('says when it is ready, answers, and stops on SIGTERM', async () => {
    const config = path.join(directory, 'agent.yaml');
    writeFileSync(config, `state: ${state}\nsocket:\n  path: ${socket}\n  mode: "0600"\n`);
    const main = path.resolve(import.meta.dirname, '../../src/cli/main.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', main, 'agent', '--config', config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let events = '';
    child.stderr.on('data', (part: Buffer) => (events += part.toString()));
    try {
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      expect(line.toString()).toBe(`listening on ${socket}\n`);
      expect(await askAgent(socket, { v: 1, op: 'status' })).toMatchObject({ v: 1, name: 'host-a' });
      expect(json((await attest('--socket', socket)).stdout)).toMatchObject({ ok: true, policyVersion: 1 });
      expect(events).toContain('"event":"attested"');
      await vi.waitFor(
        async () => {
          expect(await agentLine()).toMatchObject({
            state: 'ready',
            explanation: expect.stringMatching(
              /^attested at \d{4}-.*, told of revocations at once$/,
            ) as string,
          });
        },
        { timeout: 60_000 },
      );
      await world.stop();
      expect((await attest('--socket', socket)).exit).toBe(1);
      expect(await agentLine()).toMatchObject({
        state: 'warning',
        explanation: expect.stringMatching(/^attested at .*; since then /) as string,
      });
      await world.comeBack();
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).toEqual([0, null]);
      expect(existsSync(socket)).toBe(false);
    } finally {
      child.kill('SIGKILL');
      await sleep(0);
    }
  });

  it('has a configuration that is closed, with defaults and overrides', () => {
    const file = path.join(directory, 'other.yaml');
    writeFileSync(file, 'attestation: { intervalSeconds: 60 }\n');
    const config = findAgentConfig(file, { SEALGATE_SOCKET_MODE: '0600' });
    expect(config).toMatchObject({
      state: '/var/lib/sealgate',
      attestation: { intervalSeconds: 60, jitterPercent: 20 },
      socket: { mode: '0600', path: '/run/sealgate/agent.sock' },
    });
    for (const wrong of ['socket: { users: root }', 'state: relative', 'more: 1', 'socket: { mode: 0660 }']) {
      writeFileSync(file, `${wrong}\n`);
      expectRefusal('config-form', () => findAgentConfig(file, {}));
    }
    expect(() => findAgentConfig(path.join(directory, 'none.yaml'), {})).toThrow(UsageError);
  });
});
