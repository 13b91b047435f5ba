import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readText, tool } from '../support/artifact.ts';
import { cli } from '../support/cli.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
const at = (file: string) => path.join(directory, file);
const put = (file: string, content: string) => {
  writeFileSync(at(file), content);
};
const json = async (...argv: string[]): Promise<{ exit: number; value: Record<string, unknown> }> => {
  const { exit, stdout } = await cli(...argv, '--json');
  return { exit, value: JSON.parse(stdout) as Record<string, unknown> };
};
const run = (command: string, ...args: string[]) => tool(directory, command, args);
const CONTENT = '#!/bin/sh\necho governed\n';
const SHA256 = createHash('sha256').update(CONTENT).digest('hex');

const algorithms = { ed: 'ed25519', ec: 'ecdsa-p256', rsa: 'rsa-pss', sshed: 'ed25519', sshrsa: 'rsa-pkcs1' };
const trustWith = (names: (keyof typeof algorithms)[], more: object = {}): string => {
  const signers = names.map((name) => ({
    name,
    key: readText(directory, `${name}.pub`),
    algorithm: algorithms[name],
  }));
  put('trust.json', JSON.stringify({ version: 1, signers, names: ['tool'], ...more }));
  return at('trust.json');
};
const keyId = (name: string): string =>
  `sha256:${run('sh', '-c', `openssl pkey -pubin -in ${name}.pub -outform DER | sha256sum`).slice(0, 64)}`;

beforeAll(() => {
  run('openssl', 'genpkey', '-algorithm', 'ed25519', '-out', 'ed.pem');
  run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'ec.pem');
  run('openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'rsa.pem');
  for (const name of ['ed', 'ec', 'rsa'])
    run('openssl', 'pkey', '-in', `${name}.pem`, '-pubout', '-out', `${name}.pub`);
  for (const name of ['ec', 'rsa'])
    run(
      'openssl',
      'req',
      '-x509',
      '-new',
      '-key',
      `${name}.pem`,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      '-out',
      `${name}.crt`,
    );
  run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at('sshed'));
  run('ssh-keygen', '-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', at('sshrsa'));
});

beforeEach(() => {
  for (const suffix of ['', '.dsse.json', '.p7s', '.sig'])
    rmSync(at(`tool${suffix}`), { force: true, recursive: true });
  put('tool', CONTENT);
});

describe('artifact digest', () => {
  it('answers for a file and for a tree', async () => {
    expect(await json('artifact', 'digest', at('tool'))).toEqual({
      exit: 0,
      value: { type: 'file', sha256: SHA256, files: 1, bytes: CONTENT.length },
    });
    mkdirSync(at('tree/bin'), { recursive: true });
    put('tree/bin/run', 'x');
    chmodSync(at('tree/bin/run'), 0o755);
    chmodSync(at('tree/bin'), 0o755);
    const { stdout: manifest } = await cli('artifact', 'digest', at('tree'), '--manifest');
    const file = createHash('sha256').update('x').digest('hex');
    expect(manifest).toBe(`sealgate-tree/v1\0dir\x000755\0bin\0file\x000755\x001\0${file}\0bin/run\0`);
    const sha256 = createHash('sha256').update(manifest).digest('hex');
    expect(await json('artifact', 'digest', `${at('tree')}/`)).toEqual({
      exit: 0,
      value: { type: 'tree', sha256, files: 1, bytes: 1 },
    });
    expect((await cli('artifact', 'digest', at('tool'))).stdout).toBe(`${SHA256}  ${at('tool')}\n`);
  });

  it('refuses with one document, and says what to do', async () => {
    mkdirSync(at('bad'), { recursive: true });
    put('bad/f', '');
    symlinkSync('/etc', at('bad/out'));
    const { exit, value } = await json('artifact', 'digest', at('bad'));
    expect(exit).toBe(1);
    expect(value).toMatchObject({
      ok: false,
      denial: { stage: 'artifact', check: 'artifact-link', detail: { path: 'out' } },
    });
  });

  it('a file that is not there is exit 2', async () => {
    expect((await json('artifact', 'digest', at('nothing'))).exit).toBe(2);
    expect((await cli('artifact', 'digest')).exit).toBe(2);
    expect((await cli('artifact', 'digest', at('tool'), '--manifest')).exit).toBe(2);
  });
});

describe('artifact sign and verify', () => {
  it('every format with every key, all beside the file', async () => {
    for (const key of ['ed', 'ec', 'rsa'])
      expect((await cli('artifact', 'sign', at('tool'), '--key', at(`${key}.pem`))).exit).toBe(0);
    const { exit, value } = await json(
      'artifact',
      'verify',
      at('tool'),
      '--trust',
      trustWith(['ed', 'ec', 'rsa'], { threshold: 3 }),
    );
    expect(exit).toBe(0);
    expect(value).toEqual({
      ok: true,
      denial: null,
      digest: SHA256,
      signers: ['ed', 'ec', 'rsa']
        .map(keyId)
        .sort()
        .map((key) => ({ key, name: 'tool', format: 'dsse' })),
      threshold: { need: 3, have: 3 },
    });
  });

  it('what ssh-keygen and openssl write beside the file verifies', async () => {
    run('ssh-keygen', '-q', '-Y', 'sign', '-f', at('sshed'), '-n', 'file', at('tool'));
    run(
      'openssl',
      'cms',
      '-sign',
      '-binary',
      '-in',
      'tool',
      '-signer',
      'ec.crt',
      '-inkey',
      'ec.pem',
      '-outform',
      'DER',
      '-out',
      'tool.p7s',
    );
    const { exit, value } = await json(
      'artifact',
      'verify',
      at('tool'),
      '--trust',
      trustWith(['sshed', 'ec'], { threshold: 2 }),
    );
    expect({ exit, threshold: value['threshold'] }).toEqual({ exit: 0, threshold: { need: 2, have: 2 } });
    expect(value['signers']).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ format: 'ssh', name: 'tool' }),
        { format: 'cms', name: 'tool', key: keyId('ec') },
      ]),
    );
  });

  it('what we write is accepted by ssh-keygen and openssl, for every key of the format', async () => {
    for (const key of ['sshed', 'sshrsa', 'ec.pem']) {
      await cli('artifact', 'sign', at('tool'), '--key', at(key), '--format', 'ssh');
      const line =
        key === 'ec.pem'
          ? run('ssh-keygen', '-i', '-m', 'PKCS8', '-f', at('ec.pub'))
          : readText(directory, `${key}.pub`);
      put('allowed', `me ${line}`);
      expect(run('sh', '-c', 'ssh-keygen -Y verify -f allowed -I me -n file -s tool.sig < tool')).toContain(
        'Good',
      );
    }
    for (const key of ['ec', 'rsa']) {
      const { value } = await json(
        'artifact',
        'sign',
        at('tool'),
        '--key',
        at(`${key}.pem`),
        '--format',
        'cms',
        '--cert',
        at(`${key}.crt`),
      );
      expect(value).toMatchObject({
        ok: true,
        signature: at('tool.p7s'),
        format: 'cms',
        digest: SHA256,
        key: keyId(key),
        signatures: 1,
      });
      run(
        'openssl',
        'cms',
        '-verify',
        '-binary',
        '-inform',
        'DER',
        '-in',
        'tool.p7s',
        '-content',
        'tool',
        '-CAfile',
        `${key}.crt`,
        '-purpose',
        'any',
        '-out',
        '/dev/null',
      );
    }
  });

  it('a tree, and the manifest signed with ssh-keygen', async () => {
    rmSync(at('tool'));
    mkdirSync(at('tool'));
    put('tool/main.js', '1');
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'));
    put('manifest', (await cli('artifact', 'digest', at('tool'), '--manifest')).stdout);
    run('ssh-keygen', '-q', '-Y', 'sign', '-f', at('sshed'), '-n', 'file', at('manifest'));
    renameSync(at('manifest.sig'), at('tool.sig'));
    const trust = trustWith(['ed', 'sshed'], { threshold: 2 });
    expect((await cli('artifact', 'verify', `${at('tool')}/`, '--trust', trust)).exit).toBe(0);
    chmodSync(at('tool/main.js'), 0o755);
    const { exit, value } = await json('artifact', 'verify', at('tool'), '--trust', trust);
    expect(exit).toBe(1);
    expect(value).toMatchObject({
      ok: false,
      denial: { check: 'dsse-subject', code: 'runtime-identity-mismatch' },
      signers: [],
    });
  });

  it('refuses a changed file with the same document', async () => {
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'));
    put('tool', `${CONTENT}rm -rf /\n`);
    const { exit, value } = await json('artifact', 'verify', at('tool'), '--trust', trustWith(['ed']));
    expect(exit).toBe(1);
    expect(value).toMatchObject({
      ok: false,
      denial: { stage: 'artifact', code: 'runtime-identity-mismatch', check: 'dsse-subject' },
      digest: createHash('sha256').update(`${CONTENT}rm -rf /\n`).digest('hex'),
      signers: [],
      threshold: { need: 1, have: 0 },
    });
    expect(Object.keys(value)).toEqual(['ok', 'denial', 'digest', 'signers', 'threshold']);
  });

  it('refuses an unsigned file, too few signers, and a strange trust document', async () => {
    const trust = trustWith(['ed', 'ec'], { threshold: 2 });
    expect((await json('artifact', 'verify', at('tool'), '--trust', trust)).value).toMatchObject({
      denial: { check: 'artifact-unsigned' },
    });
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'));
    expect((await json('artifact', 'verify', at('tool'), '--trust', trust)).value).toMatchObject({
      denial: { check: 'artifact-threshold' },
      signers: [{ key: keyId('ed') }],
      threshold: { need: 2, have: 1 },
    });
    put('trust.json', '{"version":1}');
    expect(await json('artifact', 'verify', at('tool'), '--trust', at('trust.json'))).toMatchObject({
      exit: 1,
      value: {
        denial: { check: 'trust-document', code: 'malformed-request' },
        digest: SHA256,
        threshold: null,
      },
    });
  });

  it('--signature names other files, by content, and they must be signatures', async () => {
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'), '--output', at('elsewhere'));
    await cli(
      'artifact',
      'sign',
      at('tool'),
      '--key',
      at('sshed'),
      '--format',
      'ssh',
      '--output',
      at('elsewhere2'),
    );
    const verify = (...files: string[]) =>
      json(
        'artifact',
        'verify',
        at('tool'),
        '--trust',
        trustWith(['ed', 'sshed']),
        ...files.flatMap((file) => ['--signature', at(file)]),
      );
    expect((await verify()).value).toMatchObject({ denial: { check: 'artifact-unsigned' } });
    expect((await verify('elsewhere', 'elsewhere2')).value).toMatchObject({
      ok: true,
      threshold: { have: 2 },
    });
    put('junk', 'junk');
    expect(await verify('elsewhere', 'junk')).toMatchObject({
      exit: 1,
      value: { denial: { check: 'malformed', stage: 'artifact' } },
    });
    expect((await verify('nothing')).exit).toBe(2);
    // Beside the file, where anything may lie, junk only counts nothing.
    put('tool.sig', 'junk');
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'));
    const { exit, stderr } = await cli('artifact', 'verify', at('tool'), '--trust', trustWith(['ed']));
    expect({ exit, stderr }).toEqual({
      exit: 0,
      stderr: expect.stringContaining('not counted: [malformed]') as string,
    });
  });

  it('signs version, name and window, and says nothing that it was not asked', async () => {
    const sign = (...more: string[]) => cli('artifact', 'sign', at('tool'), '--key', at('ec.pem'), ...more);
    expect(
      (
        await sign(
          '--name',
          'other',
          '--artifact-version',
          '2.0.1',
          '--not-after',
          '2020-01-01T00:00:00Z',
          '--encoding',
          'ieee-p1363',
        )
      ).exit,
    ).toBe(0);
    const { payload } = JSON.parse(readText(directory, 'tool.dsse.json')) as { payload: string };
    expect(JSON.parse(Buffer.from(payload, 'base64').toString())).toEqual({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ name: 'other', digest: { sha256: SHA256 } }],
      predicateType: 'https://sealgate.dev/artifact/v1',
      predicate: {
        version: '2.0.1',
        notAfter: '2020-01-01T00:00:00Z',
        signedAt: expect.any(String) as string,
      },
    });
    for (const wrong of [
      ['--namespace', 'x'],
      ['--cert', at('ec.crt')],
      ['--format', 'cms'],
      ['--format', 'pgp'],
      ['--format', 'ssh', '--artifact-version', '1'],
      ['--artifact-version', 'latest'],
      ['--not-after', 'tomorrow'],
      ['--name', ''],
      ['--output', at('no/such/directory')],
    ]) {
      expect((await sign(...wrong)).exit, wrong.join(' ')).toBe(2);
    }
  });

  it('keys that can’t sign are refused', async () => {
    run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-384', '-out', 'p384.pem');
    run('openssl', 'pkey', '-in', 'ed.pem', '-aes256', '-passout', 'pass:x', '-out', 'locked.pem');
    for (const [key, check] of [
      ['p384.pem', 'artifact-key'],
      ['locked.pem', 'artifact-key-encrypted'],
      ['ed.pub', 'malformed'],
      ['tool', 'malformed'],
    ] as const) {
      const { exit, value } = await json('artifact', 'sign', at('tool'), '--key', at(key));
      expect({ exit, value }).toMatchObject({ exit: 1, value: { ok: false, denial: { check } } });
    }
    expect((await json('artifact', 'sign', at('tool'), '--key', at('none.pem'))).exit).toBe(2);
  });

  it('a second signer joins; another statement starts a new file', async () => {
    const sign = async (key: string, ...more: string[]) =>
      (await json('artifact', 'sign', at('tool'), '--key', at(key), ...more)).value['signatures'];
    expect(await sign('ed.pem')).toBe(1);
    expect(await sign('ec.pem')).toBe(2);
    expect(await sign('ec.pem')).toBe(2);
    expect(await sign('rsa.pem', '--artifact-version', '2')).toBe(1);
    put('tool', 'new content');
    expect(await sign('ed.pem', '--artifact-version', '2')).toBe(1);
  });

  it('answers people in a table, with escapes for foreign text', async () => {
    await cli('artifact', 'sign', at('tool'), '--key', at('ed.pem'), '--name', 'to\u001bol');
    const { exit, stdout } = await cli(
      'artifact',
      'verify',
      at('tool'),
      '--trust',
      trustWith(['ed'], { names: ['to\u001bol'] }),
    );
    expect(exit).toBe(0);
    expect(stdout).toMatch(/^verified .*tool\n/);
    expect(stdout).toContain(`signer     dsse ${keyId('ed')} to\\u{1b}ol`);
    const refused = await cli('artifact', 'verify', at('tool'), '--trust', trustWith(['ec']));
    expect(refused.exit).toBe(1);
    expect(refused.stderr).toContain('artifact-signature');
  });
});
