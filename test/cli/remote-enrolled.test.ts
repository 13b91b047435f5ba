import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { profileText } from '../../src/config/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { AgentWorld } from '../agent/world.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
let world: AgentWorld;
let tpm: Swtpm;
let profile: string;

beforeAll(async () => {
  tpm = await startSwtpm({ eccP256: true });
  world = await AgentWorld.start(directory, tpm);
  profile = path.join(world.directory, 'operators', 'test.yaml');
  const pins = { url: world.url, caFingerprint: world.caFingerprint };
  const text = profileText({ ...pins, certificate: 'admin.pem', key: 'admin.key' });
  writeFileSync(profile, text, { mode: 0o600 });
});
afterAll(async () => {
  await world.stop();
  await tpm.stop();
});

async function json(...argv: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await cli(...argv, '--profile', profile, '--json');
  return JSON.parse(stdout) as Record<string, unknown>;
}

it('a host is invited, enrolls, is listed, labelled, quarantined, restored and revoked, all by the command line', async () => {
  const token = path.join(directory, 'token');
  const invite = [
    'host',
    'invite',
    '--name',
    'host-a',
    '--platform',
    'vm',
    '--label',
    'site=a',
    '--token-file',
    token,
  ];
  expect(await json(...invite)).toMatchObject({ ok: true });
  const pins = ['--url', world.url, '--ca-fingerprint', world.caFingerprint, '--tcti', tpm.tcti];
  const state = path.join(directory, 'state');
  const enrolled = await cli(
    ...['host', 'enroll', ...pins, '--name', 'host-a', '--token-file', token, '--state', state, '--json'],
  );
  expect(enrolled.stderr).toBe('');
  const { hostId } = JSON.parse(enrolled.stdout) as { hostId: string };
  expect(hostId).toMatch(/^[0-9a-f]{64}$/);

  expect(await json('host', 'ls', '--label', 'site=a')).toMatchObject({
    hosts: [{ hostId, state: 'active' }],
  });
  expect(await json('host', 'ls', '--label', 'site=b')).toMatchObject({ hosts: [] });
  expect(await json('host', 'show', hostId.slice(0, 12))).toMatchObject({
    hostId,
    name: 'host-a',
    platform: 'vm',
  });
  const people = await cli('host', 'ls', '--profile', profile);
  expect(people.stdout).toMatch(/host-a\s+active\s+vm\s+site=a/);

  const labelled = await json('host', 'label', 'host-a', 'site-', 'role=web', '--platform', 'vm2');
  expect(labelled).toMatchObject({ ok: true, labels: { role: 'web' }, platform: 'vm2' });
  expect(String(labelled['auditIndex'])).toMatch(/^\d+$/);
  for (const [verb, after] of [
    ['quarantine', 'quarantined'],
    ['restore', 'active'],
    ['revoke', 'revoked'],
  ] as const)
    expect(await json('host', verb, 'host-a', '--reason', 'test')).toMatchObject({ ok: true, state: after });
  expect(await json('host', 'restore', 'host-a', '--reason', 'test')).toMatchObject({
    ok: false,
    denial: { check: 'host-revoked' },
  });
  expect(await json('host', 'label', 'host-a', 'x=y')).toMatchObject({
    ok: false,
    denial: { check: 'host-revoked' },
  });
});
