import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { profileText } from '../../src/config/index.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { remoteVerifier } from './remote.ts';

const remote = remoteVerifier();
const scratch = temporaryDirectory();
const at = (name: string) => path.join(scratch, name);

describe('sealgate host', () => {
  it('invites: token in a new file of mode 0600, never in the answer', async () => {
    const file = at('host-a.token');
    const { exit, document } = await remote.json(
      ...[
        'host',
        'invite',
        '--name',
        'host-a',
        '--platform',
        'server',
        '--label',
        'site=berlin',
        '--ttl',
        '10m',
      ],
      ...['--token-file', file],
    );
    expect(exit).toBe(0);
    expect(document).toMatchObject({ ok: true, name: 'host-a', token: null, tokenFile: file });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const token = readFileSync(file, 'utf8').trim();
    expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(document['caFingerprint']).toBe(remote.verifier().server.services.caFingerprint);
    expect(Date.parse(String(document['expiresAt'])) - Date.now()).toBeLessThanOrEqual(600_000);
    const again = await remote.run(
      'host',
      'invite',
      '--name',
      'host-b',
      '--platform',
      'server',
      '--token-file',
      file,
    );
    expect(again.exit).toBe(2);
    expect(readFileSync(file, 'utf8').trim()).toBe(token);
    const invites = await remote.run('host', 'invites');
    expect(invites.stdout).toMatch(/^INVITATION\s+NAME\s+STATE\s+PLATFORM/);
    expect(invites.stdout).toContain('host-a');
    expect(invites.stdout + JSON.stringify((await remote.json('host', 'invites')).document)).not.toContain(
      token,
    );
  });

  it('shows the token on the terminal where no file is named, with the command for the host', async () => {
    const { exit, stdout } = await remote.run('host', 'invite', '--name', 'host-c', '--platform', 'server');
    expect(exit).toBe(0);
    expect(stdout).toMatch(/token\s+[A-Za-z0-9_-]{43}\n/);
    expect(stdout).toContain('--token-file FILE');
    // The token is not a part of the command.
    const token = /token\s+([A-Za-z0-9_-]{43})\n/.exec(stdout)?.[1] ?? '';
    expect(stdout.split('On the host')[1]).not.toContain(token);
  });

  it('lists an EK instead', async () => {
    const ek = 'ab'.repeat(32);
    const made = await remote.json(
      'host',
      'invite',
      '--name',
      'host-d',
      '--platform',
      'p',
      '--ek',
      ek,
      '--no-token',
    );
    expect(made.document).toMatchObject({ ok: true, token: null, tokenFile: null, expiresAt: null });
    const wrong = await remote.run('host', 'invite', '--name', 'host-e', '--platform', 'p', '--no-token');
    expect(wrong).toMatchObject({ exit: 2, stdout: '' });
  });

  it.each([
    [['--ttl', '2h'], '--ttl'],
    [['--ttl', 'soon'], '--ttl'],
    [['--label', 'nothing'], 'label'],
    [['--ek', 'xyz'], '--ek'],
  ])('says what is wrong with %j', async (flags, word) => {
    const { exit, stderr } = await remote.run('host', 'invite', '--name', 'h', '--platform', 'p', ...flags);
    expect(exit).toBe(2);
    expect(stderr).toContain(word);
  });

  it('invites nobody in the place of a host that there isn’t', async () => {
    const { exit, stderr } = await remote.run(
      ...['host', 'invite', '--name', 'h', '--platform', 'p', '--for', 'nobody'],
    );
    expect(exit).toBe(1);
    expect(stderr).toContain('nobody');
    expect(stderr).toContain('not-found');
  });

  it('withdraws an invitation by name, id or its start, once; says which where there are more', async () => {
    const invite = async () =>
      await remote.json('host', 'invite', '--name', 'unwanted', '--platform', 'server');
    const uninvite = async (text: string) => await remote.json('host', 'uninvite', text);
    await invite();
    expect((await uninvite('unwanted')).document).toMatchObject({
      ...{ ok: true, name: 'unwanted', state: 'withdrawn', auditIndex: expect.any(String) as string },
    });
    expect(await uninvite('unwanted')).toMatchObject({
      exit: 1,
      document: { denial: { code: 'not-found' } },
    });
    await invite();
    await invite();
    expect(await uninvite('unwanted')).toMatchObject({ exit: 1, document: { denial: { code: 'conflict' } } });
    const { invitations } = (await remote.json('host', 'invites')).document as {
      readonly invitations: readonly { readonly id: string; readonly name: string; readonly state: string }[];
    };
    const [one, two] = invitations.filter(({ name, state }) => name === 'unwanted' && state === 'open');
    expect((await uninvite(one?.id.slice(0, 16) ?? '')).exit).toBe(0);
    expect((await remote.run('host', 'uninvite', two?.id ?? '')).stdout).toContain('withdrawn');
    expect(await uninvite(two?.id ?? '')).toMatchObject({
      ...{ exit: 1, document: { ok: false, denial: { check: 'invitation-state' } } },
    });
    expect(await uninvite('cd'.repeat(32))).toMatchObject({
      exit: 1,
      document: { denial: { code: 'not-found' } },
    });
  });

  it('lists none, finds none, and passes on the verifier’s denial', async () => {
    expect((await remote.json('host', 'ls')).document).toEqual({ ok: true, denial: null, hosts: [] });
    expect((await remote.run('host', 'ls')).stdout).toBe('no hosts\n');
    const id = 'cd'.repeat(32);
    const shown = await remote.json('host', 'show', id);
    expect(shown).toMatchObject({
      exit: 1,
      document: { ok: false, denial: { code: 'not-found', check: 'not-found' } },
    });
    for (const command of ['quarantine', 'restore', 'revoke']) {
      const moved = await remote.run('host', command, id, '--reason', 'test');
      expect(moved.exit).toBe(1);
      expect(moved.stderr).toContain('not-found');
    }
    expect((await remote.run('host', 'label', id, 'a=b')).stderr).toContain('not-found');
    expect((await remote.run('host', 'approve', id)).stderr).toContain('not-found');
    expect((await remote.run('host', 'label', id)).exit).toBe(2);
    expect((await remote.run('host', 'approve', id, '--name', 'x')).exit).toBe(2);
    expect((await remote.run('host', 'revoke', id)).exit).toBe(2);
  });
});

describe('profiles', () => {
  it('finds them by name in $SEALGATE_PROFILES and by the path of their file', async () => {
    const before = process.env['SEALGATE_PROFILES'];
    process.env['SEALGATE_PROFILES'] = path.dirname(remote.profile());
    try {
      expect((await cli('host', 'ls', '--profile', 'test')).exit).toBe(0);
      expect(await cli('host', 'ls', '--profile', 'nobody')).toMatchObject({ exit: 2, stdout: '' });
      // Two of them: which one is not guessed.
      const { exit, stderr } = await cli('host', 'ls');
      expect(exit).toBe(2);
      expect(stderr).toContain('admin, test');
    } finally {
      if (before === undefined) delete process.env['SEALGATE_PROFILES'];
      else process.env['SEALGATE_PROFILES'] = before;
    }
    expect((await cli('host', 'ls', '--profile', at('nowhere.yaml'))).exit).toBe(2);
  });

  it('refuses a key that others can read, a profile that others can write, an unknown member', async () => {
    const directory = at('profiles');
    mkdirSync(directory);
    for (const name of ['admin.pem', 'admin.key', 'test.yaml'])
      copyFileSync(path.join(path.dirname(remote.profile()), name), path.join(directory, name));
    const profile = path.join(directory, 'test.yaml');
    chmodSync(path.join(directory, 'admin.key'), 0o640);
    const list = async () =>
      JSON.parse((await cli('host', 'ls', '--profile', profile, '--json')).stdout) as unknown;
    expect(await list()).toMatchObject({ ok: false, denial: { check: 'secret-file' } });
    chmodSync(path.join(directory, 'admin.key'), 0o600);
    expect(await list()).toMatchObject({ ok: true });
    chmodSync(profile, 0o622);
    expect(await list()).toMatchObject({ ok: false, denial: { check: 'secret-file' } });
    chmodSync(profile, 0o600);
    writeFileSync(profile, `${readFileSync(profile, 'utf8')}more: 1\n`);
    expect(await list()).toMatchObject({ ok: false, denial: { check: 'config-form' } });
    rmSync(directory, { recursive: true });
  });

  it('refuses a verifier with another CA, and one that is not there', async () => {
    const file = at('other.yaml');
    const { caFingerprint } = remote.verifier().server.services;
    const { port } = remote.verifier().server.address;
    const write = (profile: Record<string, string>) => {
      writeFileSync(file, profileText(profile), { mode: 0o600 });
    };
    write({ url: `https://localhost:${String(port)}`, caFingerprint: '00'.repeat(32) });
    const other = await cli('host', 'ls', '--profile', file);
    expect(other.exit).toBe(1);
    expect(other.stderr).toContain('[verifier-pin]');
    write({ url: 'https://localhost:1', caFingerprint });
    expect((await cli('host', 'ls', '--profile', file)).stderr).toContain('[verifier-unreachable]');
    write({ url: `https://localhost:${String(port)}`, caFingerprint });
    expect((await cli('host', 'ls', '--profile', file)).stderr).toContain('[caller-certificate]');
    expect(existsSync(file.replace('.yaml', '.checkpoint'))).toBe(false);
  });
});
