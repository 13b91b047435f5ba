import { copyFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from './remote.ts';

const remote = remoteVerifier();
const scratch = temporaryDirectory();
const caFiles = () => [
  ...['--ca-key', path.join(remote.directory, 'offline/operator-ca.key')],
  ...['--ca-certificate', path.join(remote.directory, 'certificates/operator-ca.pem')],
];

describe('sealgate operator', () => {
  it('issues an operator with roles, who may what they say and no more, until revoked', async () => {
    // It is made where it isn't there.
    const directory = path.join(scratch, 'new', 'operators');
    const made = await remote.json(
      'operator',
      'add',
      'anna',
      '--role',
      'invite',
      '--dir',
      directory,
      ...caFiles(),
    );
    expect(made).toMatchObject({
      exit: 0,
      document: { ok: true, name: 'anna', roles: ['invite'], trustDomain: 'example.org' },
    });
    expect(statSync(path.join(directory, 'anna.key')).mode & 0o777).toBe(0o600);
    const anna = ['--profile', path.join(directory, 'anna.yaml')];
    expect((await cli('host', 'invite', '--name', 'h', '--platform', 'p', ...anna)).exit).toBe(0);
    const denied = await cli('secret', 'ls', ...anna, '--json');
    expect(JSON.parse(denied.stdout)).toMatchObject({ ok: false, denial: { code: 'not-permitted' } });
    const again = await remote.run(
      'operator',
      'add',
      'anna',
      '--role',
      'invite',
      '--dir',
      directory,
      ...caFiles(),
    );
    expect(again.exit).toBe(2);
    const listed = await cli('operator', 'ls', ...anna);
    expect(listed.stdout).toContain('you are anna (invite)');
    const revoked = await remote.json(
      ...['operator', 'revoke', path.join(directory, 'anna.pem'), '--reason', 'test'],
    );
    expect(revoked).toMatchObject({
      exit: 0,
      document: { ok: true, state: 'revoked', serial: made.document['serial'] },
    });
    const after = await cli('host', 'ls', ...anna, '--json');
    expect(JSON.parse(after.stdout)).toMatchObject({ ok: false, denial: { check: 'caller-revoked' } });
    expect((await remote.run('operator', 'ls')).stdout).toContain(String(made.document['serial']));
  });

  it.each([
    ['an unknown role', ['--role', 'god']],
    ['no day', ['--role', 'audit', '--days', '0']],
  ])('refuses %s', async (_name, flags) => {
    const { exit } = await remote.run('operator', 'add', 'otto', ...flags, '--dir', scratch, ...caFiles());
    expect(exit).toBe(2);
  });

  it('refuses a key that is not the certificate’s, and one that others can read', async () => {
    const key = path.join(scratch, 'other.key');
    copyFileSync(path.join(remote.directory, 'offline/tls-ca.key'), key);
    const flags = ['--role', 'audit', '--dir', scratch, '--ca-certificate', caFiles()[3] ?? ''];
    const { exit, stderr } = await remote.run('operator', 'add', 'otto', ...flags, '--ca-key', key);
    expect(exit).toBe(1);
    expect(stderr).toContain('not the key of');
    writeFileSync(path.join(scratch, 'open.key'), readFileSync(key), { mode: 0o644 });
    const open = await remote.run(
      'operator',
      'add',
      'otto',
      ...flags,
      '--ca-key',
      path.join(scratch, 'open.key'),
    );
    expect(open.stderr).toContain('[secret-file]');
  });
});

describe('what the verifier doesn’t have', () => {
  it.each([
    [['host', 'show', 'nobody'], 'not-found'],
    [['host', 'quarantine', 'nobody', '--reason', 'x'], 'not-found'],
    [['secret', 'rotate', 'nothing', path.join(remoteFile(), 'value')], 'not-found'],
    [['policy', 'publish'], 'not-found'],
  ])('is refused, not wrong use: %j', async (command, code) => {
    const { exit, document } = await remote.json(...command);
    expect(exit).toBe(1);
    expect(document).toMatchObject({ ok: false, denial: { stage: 'request', code, check: code } });
  });

  it('differs from a file that can’t be opened, which is wrong use', async () => {
    const enroll = ['host', 'enroll', '--url', 'https://localhost:1', '--ca-fingerprint', 'ab'.repeat(32)];
    const missing = await cli(...enroll, '--name', 'h', '--token-file', path.join(scratch, 'missing'));
    expect(missing).toMatchObject({ exit: 2 });
    const file = path.join(scratch, 'no-token');
    writeFileSync(file, 'not a token', { mode: 0o600 });
    const wrong = await cli(...enroll, '--name', 'h', '--token-file', file);
    expect(wrong).toMatchObject({ exit: 1 });
    expect(wrong.stderr).toContain('no join token');
  });
});

function remoteFile(): string {
  const directory = temporaryDirectory();
  writeFileSync(path.join(directory, 'value'), 'secret');
  return directory;
}

describe('sealgate secret', () => {
  it('stores, rotates, lists and removes; the value is nowhere in what is printed', async () => {
    const file = path.join(scratch, 'value');
    writeFileSync(file, 'correct horse', { mode: 0o600 });
    expect(await remote.json('secret', 'put', 'db', file)).toMatchObject({
      document: { ok: true, name: 'db', version: 1 },
    });
    expect((await remote.run('secret', 'put', 'db', file)).exit).toBe(1);
    writeFileSync(file, 'battery staple');
    expect((await remote.json('secret', 'rotate', 'db', file)).document).toMatchObject({ version: 2 });
    expect((await remote.run('secret', 'rotate', 'nothing', file)).exit).toBe(1);
    const listed = await remote.run('secret', 'ls');
    expect(listed.stdout).toMatch(/db\s+2\s+stored/);
    expect(listed.stdout).not.toMatch(/horse|staple/);
    expect((await remote.json('secret', 'rm', 'db')).document).toMatchObject({ ok: true, state: 'removed' });
    expect((await remote.json('secret', 'rm', 'db')).document).toMatchObject({
      denial: { code: 'not-found' },
    });
    // A name that comes again goes on with its versions.
    expect((await remote.json('secret', 'put', 'db', file)).document).toMatchObject({ version: 3 });
  });

  it('takes no empty value and none that is too large', async () => {
    const file = path.join(scratch, 'empty');
    writeFileSync(file, '');
    expect((await remote.run('secret', 'put', 'x', file)).exit).toBe(1);
    writeFileSync(file, 'x'.repeat(65_537));
    expect((await remote.run('secret', 'put', 'x', file)).exit).toBe(1);
    expect((await remote.run('secret', 'put', 'x', path.join(scratch, 'nowhere'))).exit).toBe(2);
  });
});

describe('sealgate policy, over HTTPS', () => {
  it('builds, signs, stages, publishes and shows', async () => {
    const [directory, bundle] = [path.join(scratch, 'policy'), path.join(scratch, 'bundle.json')];
    expect((await remote.json('policy', 'show')).document).toMatchObject({ ok: true, active: null });
    expect((await remote.run('policy', 'publish')).exit).toBe(1);
    expect((await cli('policy', 'init', directory, '--trust-domain', 'example.org')).exit).toBe(0);
    const built = await cli('policy', 'build', directory, '-o', bundle, '--json');
    const { policyHash } = JSON.parse(built.stdout) as { policyHash: string };
    expect((await remote.run('policy', 'stage', bundle)).exit).toBe(2);
    const key = path.join(remote.directory, 'offline/policy-authority-1.key');
    expect((await cli('policy', 'sign', bundle, '--key', key)).exit).toBe(0);
    expect((await remote.json('policy', 'stage', bundle)).document).toMatchObject({
      ok: true,
      digest: policyHash,
      changes: null,
    });
    expect((await remote.json('policy', 'show')).document).toMatchObject({
      active: null,
      staged: { digest: policyHash },
    });
    expect((await remote.json('policy', 'show', '--staged')).document).toMatchObject({
      ...{ ok: true, staged: { digest: policyHash, same: 0, deniedThen: 0, differences: [] } },
    });
    expect((await remote.run('policy', 'show', '--staged')).stdout).toContain(policyHash);
    expect((await remote.run('policy', 'show', '--staged', '--history')).exit).toBe(2);
    expect((await remote.run('policy', 'show', bundle, '--staged')).exit).toBe(2);
    expect((await remote.json('policy', 'publish')).document).toMatchObject({
      ok: true,
      digest: policyHash,
      version: 1,
    });
    expect((await remote.json('policy', 'show')).document).toMatchObject({
      active: { digest: policyHash, version: 1 },
    });
    expect((await remote.run('policy', 'show', '--staged')).exit).toBe(1);
    const history = await remote.run('policy', 'show', '--history');
    expect(history.exit).toBe(0);
    expect(history.stdout).toContain(policyHash);
    // What the next version changes is said by whoever stages, looks and publishes: worked out from both bundles.
    const sources = path.join(directory, 'policy.yaml');
    const text = readFileSync(sources, 'utf8');
    const changed = text
      .replace(/^version: 1$/m, 'version: 2')
      .replace(/^previous: null$/m, `previous: "${policyHash}"`)
      .replace(/expiration: \d+/, 'expiration: 29');
    writeFileSync(sources, changed);
    const second = path.join(scratch, 'second.json');
    expect((await cli('policy', 'build', directory, '-o', second)).exit).toBe(0);
    expect((await cli('policy', 'sign', second, '--key', key)).exit).toBe(0);
    const changes = expect.arrayContaining([
      { kind: 'changed', path: 'sealing.expiration', before: expect.any(Number) as number, after: 29 },
    ]) as unknown;
    expect((await remote.json('policy', 'stage', second)).document).toMatchObject({ version: 2, changes });
    expect((await remote.json('policy', 'show')).document).toMatchObject({ changes });
    const published = await remote.run('policy', 'publish');
    expect(published.exit).toBe(0);
    expect(published.stdout).toMatch(/~ sealing\.expiration {2}\d+ → 29\n/);
    expect((await remote.json('policy', 'show')).document).toMatchObject({ staged: null, changes: null });
    // The same version again is a rollback or nothing new: refused, whichever the verifier calls it.
    expect((await remote.json('policy', 'stage', bundle)).exit).toBe(1);
    expect((await remote.run('policy', 'show', bundle)).exit).toBe(2);
  });
});

describe('sealgate exec and revoke', () => {
  it('lists none, finds none', async () => {
    expect((await remote.json('exec', 'ls')).document).toEqual({ ok: true, denial: null, executions: [] });
    const id = '0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20';
    expect((await remote.json('exec', 'show', id)).document).toMatchObject({ denial: { code: 'not-found' } });
    expect((await remote.run('exec', 'show', 'x')).exit).toBe(1);
    expect((await remote.run('exec', 'ls', '--host', 'nobody')).exit).toBe(1);
  });

  it('revokes an artifact once, and knows what can be revoked', async () => {
    const digest = `sha256:${'ab'.repeat(32)}`;
    const revoked = await remote.json('revoke', 'artifact', digest, '--reason', 'test');
    expect(revoked).toMatchObject({
      exit: 0,
      document: { ok: true, kind: 'artifact', id: digest, state: 'revoked' },
    });
    expect(String(revoked.document['auditIndex'])).toMatch(/^\d+$/);
    expect((await remote.json('revoke', 'artifact', digest, '--reason', 'test')).document).toMatchObject({
      denial: { code: 'conflict' },
    });
    expect((await remote.run('revoke', 'planet', 'x', '--reason', 'test')).exit).toBe(2);
    expect((await remote.run('revoke', 'artifact', digest)).exit).toBe(2);
    expect((await remote.json('revoke', 'artifact', 'x', '--reason', 'test')).exit).toBe(1);
  });
});
