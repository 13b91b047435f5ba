import { X509Certificate, createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  KEYS,
  formatOperatorId,
  parseOperatorId,
  readKeyRing,
  readSecretFile,
  checkSecretDirectory,
} from '../../src/config/index.ts';
import { openTrustChain } from '../../src/policy/index.ts';
import { findConfig } from '../../src/cli/config-file.ts';
import {
  OID,
  parseCertificate,
  parsePem,
  subjectNames,
  tlsClientProfile,
  tlsServerProfile,
  verifyPath,
} from '../../src/x509/index.ts';
import { cli } from '../support/cli.ts';
import { expectRefusal } from '../support/refusals.ts';
import { copyDirectory, temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
const home = path.join(directory, 'verifier');
const at = (...names: string[]) => path.join(home, ...names);
const certificate = (name: string) => parseCertificate(parsePem(new Uint8Array(readFileSync(at(name))))[0]!);
const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
let answer: Record<string, unknown>;

beforeAll(async () => {
  const { exit, stdout } = await cli(
    ...[
      'init',
      '--trust-domain',
      'example.org',
      '--dir',
      home,
      '--url',
      'https://verifier.example.org:9443',
      '--json',
    ],
  );
  expect(exit).toBe(0);
  answer = json(stdout);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

/** A copy of the installation to spoil. */
function copy(name: string): string {
  const target = path.join(directory, name);
  copyDirectory(home, target);
  return target;
}
const P256 = { namedCurve: 'P-256' };
/** Rewrites the first trust bundle's envelope. */
function changeTrust(where: string, change: (envelope: Record<string, unknown>) => object): void {
  const file = path.join(where, 'certificates/trust-bundles.json');
  const [envelope] = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>[];
  writeFileSync(file, JSON.stringify([change(envelope!)]));
}
const check = async (where: string) =>
  await cli('config', 'check', '--config', path.join(where, 'sealgate.yaml'), '--json');

describe('sealgate init', () => {
  it('makes every key, each for one purpose and none like another, readable by its owner alone', () => {
    const keys = new Set<string>();
    for (const { name, type, online } of KEYS) {
      const file = at(online ? 'keys' : 'offline', `${name}.key`);
      expect(statSync(file).mode & 0o777, name).toBe(0o600);
      const text = readFileSync(file, 'utf8');
      keys.add(text);
      if (type === 'secret') expect(text).toMatch(/^[0-9a-f]{64}\n$/);
      else expect(createPrivateKey(text).asymmetricKeyType).toBe(type === 'Ed25519' ? 'ed25519' : 'ec');
    }
    expect(keys.size).toBe(KEYS.length);
    for (const name of ['.', 'keys', 'offline', 'data', 'operators'])
      expect(statSync(at(name)).mode & 0o777).toBe(0o700);
    expect(readdirSync(at('keys'))).not.toContain('operator-ca.key');
    expect(answer['takeOffline']).toEqual([
      at('offline/tls-ca.key'),
      at('offline/operator-ca.key'),
      at('offline/policy-authority-1.key'),
    ]);
  });

  it('issues a TLS certificate for the URL’s host under its own authority, whose fingerprint is pinned', () => {
    const [ca, leaf] = [certificate('certificates/tls-ca.pem'), certificate('certificates/tls.pem')];
    const path = verifyPath({ leaf, anchors: [ca], now: Date.now(), profile: tlsServerProfile });
    expect(path.findings.dns).toEqual(['verifier.example.org', 'localhost']);
    expect(answer['caFingerprint']).toBe(ca.fingerprint);
    expect(new X509Certificate(readFileSync(at('certificates/tls.pem'))).checkIP('127.0.0.1')).toBe(
      '127.0.0.1',
    );
  });

  it('issues the first operator’s certificate by the operator authority alone', () => {
    const leaf = certificate('operators/admin.pem');
    const ca = certificate('certificates/operator-ca.pem');
    const { findings } = verifyPath({ leaf, anchors: [ca], now: Date.now(), profile: tlsClientProfile });
    expect(findings.uris.map(parseOperatorId)).toEqual([
      { trustDomain: 'example.org', name: 'admin', roles: ['admin'] },
    ]);
    for (const other of ['agent-ca', 'svid-ca', 'tls-ca', 'ak-ca']) {
      const anchors = [certificate(`certificates/${other}.pem`)];
      expect(() => verifyPath({ leaf, anchors, now: Date.now(), profile: tlsClientProfile })).toThrow();
    }
  });

  it('gives each authority one purpose', () => {
    const purposes = (name: string) => certificate(`certificates/${name}.pem`).extKeyUsage;
    expect(purposes('operator-ca')).toEqual([OID.clientAuth]);
    expect(purposes('agent-ca')).toEqual([OID.clientAuth]);
    expect(purposes('tls-ca')).toEqual([OID.serverAuth]);
    expect(purposes('ak-ca')).toEqual([OID.tcgAkCertificate]);
    expect(subjectNames(certificate('certificates/agent-ca.pem')).uris).toEqual([]);
  });

  it('makes policy authorities and trust bundle version 1, with the keys that this verifier uses', async () => {
    const { current, chain } = openTrustChain(
      new Uint8Array(readFileSync(at('certificates/trust-bundles.json'))),
      'example.org',
    );
    expect(chain).toHaveLength(1);
    expect(current).toMatchObject({
      version: 1,
      previous: null,
      issuer: 'https://verifier.example.org:9443',
    });
    expect(current.document.log).toEqual([answer['logKey']]);
    expect(current.authorities).toMatchObject({ threshold: 1, keys: [{ name: 'policy-authority-1' }] });
    const [authorization] = current.keys.authorization;
    const own = createPrivateKey(readFileSync(at('keys/authorization.key')));
    // RFC 7638 as another implementation computes it.
    expect(authorization?.kid).toBe(await calculateJwkThumbprint(await exportJWK(createPublicKey(own))));
    const authority = createPrivateKey(readFileSync(at('offline/policy-authority-1.key')));
    expect(statSync(at('offline/policy-authority-1.key')).mode & 0o777).toBe(0o600);
    expect(current.document.authorities.keys[0]?.key).toBe(
      createPublicKey(authority).export({ type: 'spki', format: 'pem' }),
    );
    const several = path.join(directory, 'several');
    expect((await cli('init', '--dir', several, '--policy-authorities', '3')).exit).toBe(0);
    const file = new Uint8Array(readFileSync(path.join(several, 'certificates/trust-bundles.json')));
    const { authorities } = openTrustChain(file, 'sealgate.local').current;
    expect(authorities.threshold).toBe(2);
    expect(authorities.keys).toHaveLength(3);
  });

  it('never overwrites', async () => {
    const before = readFileSync(at('keys/log.key'), 'utf8');
    const again = await cli('init', '--dir', home, '--json');
    expect(again.exit).toBe(1);
    expect(json(again.stdout)).toMatchObject({ ok: false, denial: { check: 'init-exists' } });
    rmSync(path.join(copy('half'), 'sealgate.yaml'));
    for (const name of ['operators', 'certificates'])
      rmSync(path.join(directory, 'half', name), { recursive: true });
    renameSync(path.join(directory, 'half/keys/log.key'), path.join(directory, 'half/keys/other.key'));
    for (const name of readdirSync(path.join(directory, 'half/keys')))
      if (name !== 'other.key') rmSync(path.join(directory, 'half/keys', name));
    rmSync(path.join(directory, 'half/offline'), { recursive: true });
    expect(json((await cli('init', '--dir', path.join(directory, 'half'), '--json')).stdout)).toMatchObject({
      denial: { check: 'init-exists' },
    });
    expect(existsSync(path.join(directory, 'half/keys/master.key'))).toBe(false);
    expect(readFileSync(at('keys/log.key'), 'utf8')).toBe(before);
  });

  it.each([
    ['--trust-domain', 'a/b'],
    ['--trust-domain', 'Example.org'],
    ['--url', 'http://a'],
    ['--url', 'https://a/path'],
    ['--url', 'nonsense'],
    ['--operator', '../x'],
    ['--policy-authorities', '0'],
    ['--policy-authorities', '17'],
    ['--policy-threshold', '2'],
    ['--policy-threshold', 'x'],
  ])('refuses %s %s as wrong usage', async (flag, value) => {
    const target = path.join(directory, 'never');
    expect((await cli('init', '--dir', target, flag, value)).exit).toBe(2);
    expect(existsSync(target)).toBe(false);
  });

  it('tells people what to back up and what to take offline', async () => {
    const { stdout } = await cli(
      'init',
      '--dir',
      path.join(directory, 'people'),
      '--url',
      'https://10.0.0.7:8443',
    );
    expect(stdout).toMatch(/Take offline[\s\S]*operator-ca\.key[\s\S]*Back up[\s\S]*keys/);
    const tls = new X509Certificate(readFileSync(path.join(directory, 'people/certificates/tls.pem')));
    expect(tls.checkIP('10.0.0.7')).toBe('10.0.0.7');
  });
});

describe('sealgate config', () => {
  it('check finds a new installation in order, and says that offline keys are still here', async () => {
    const { exit, stdout } = await check(home);
    expect(exit).toBe(0);
    expect(json(stdout)).toMatchObject({
      ok: true,
      trustDomain: 'example.org',
      warnings: [
        expect.stringContaining('operator-ca'),
        expect.stringContaining('policy-authority-1'),
        expect.stringContaining('tls-ca'),
      ],
    });
    rmSync(path.join(copy('offline'), 'offline'), { recursive: true });
    expect(json((await check(path.join(directory, 'offline'))).stdout)['warnings']).toEqual([]);
  });

  it.each([
    [
      'a key that others can read',
      (where: string) => {
        chmodSync(path.join(where, 'keys/tls.key'), 0o640);
      },
      'secret-file',
    ],
    [
      'a directory of keys that others can enter',
      (where: string) => {
        chmodSync(path.join(where, 'keys'), 0o755);
      },
      'secret-file',
    ],
    [
      'a key that is missing',
      (where: string) => {
        rmSync(path.join(where, 'keys/ear.key'));
      },
      'secret-file',
    ],
    [
      'a key that is a link',
      (where: string) => {
        rmSync(path.join(where, 'keys/ear.key'));
        symlinkSync(at('keys/ear.key'), path.join(where, 'keys/ear.key'));
      },
      'secret-file',
    ],
    [
      'a key of another pair',
      (where: string) => {
        cpSync(path.join(where, 'keys/svid-ca.key'), path.join(where, 'keys/agent-ca.key'));
      },
      'key-file',
    ],
    [
      'a key of another type',
      (where: string) => {
        cpSync(path.join(where, 'keys/ear.key'), path.join(where, 'keys/log.key'));
      },
      'key-file',
    ],
    [
      'a key that is none',
      (where: string) => {
        writeFileSync(path.join(where, 'keys/ear.key'), 'key');
      },
      'key-file',
    ],
    [
      'a secret that is none',
      (where: string) => {
        writeFileSync(path.join(where, 'keys/master.key'), 'a'.repeat(63));
      },
      'key-file',
    ],
    [
      'a certificate that is missing',
      (where: string) => {
        rmSync(path.join(where, 'certificates/tls.pem'));
      },
      'key-file',
    ],
    [
      'no trust bundles',
      (where: string) => {
        rmSync(path.join(where, 'certificates/trust-bundles.json'));
      },
      'trust-bundle-file',
    ],
    [
      'an empty list of trust bundles',
      (where: string) => {
        writeFileSync(path.join(where, 'certificates/trust-bundles.json'), '[]');
      },
      'trust-bundle-chain',
    ],
    [
      'trust bundles that are no list',
      (where: string) => {
        writeFileSync(path.join(where, 'certificates/trust-bundles.json'), '{}');
      },
      'trust-bundle-form',
    ],
    [
      'a trust bundle that is no envelope',
      (where: string) => {
        writeFileSync(path.join(where, 'certificates/trust-bundles.json'), '[1]');
      },
      'trust-bundle-form',
    ],
    [
      'a trust bundle that nobody signed',
      (where: string) => {
        changeTrust(where, (envelope) => ({
          ...envelope,
          signatures: [{ sig: Buffer.alloc(64).toString('base64') }],
        }));
      },
      'policy-signatures',
    ],
    [
      'a trust bundle that was altered',
      (where: string) => {
        changeTrust(where, (envelope) => {
          const text = Buffer.from(String(envelope['payload']), 'base64').toString();
          const payload = Buffer.from(text.replace('verifier.example.org', 'verifier.example.net'));
          return { ...envelope, payload: payload.toString('base64') };
        });
      },
      'policy-signatures',
    ],
    [
      'the trust bundles of another verifier',
      (where: string) => {
        cpSync(
          path.join(directory, 'several/certificates/trust-bundles.json'),
          path.join(where, 'certificates/trust-bundles.json'),
        );
      },
      'trust-bundle-domain',
    ],
    ...['log', 'authorization', 'ear', 'status', 'jwt-svid'].map(
      (name) =>
        [
          `a ${name} key that the trust bundle does not have`,
          (where: string) => {
            const type = name === 'log' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', P256);
            writeFileSync(
              path.join(where, `keys/${name}.key`),
              type.privateKey.export({ type: 'pkcs8', format: 'pem' }),
            );
          },
          'trust-bundle-keys',
        ] as [string, (where: string) => void, string],
    ),
    ...['agent-ca', 'svid-ca', 'ak-ca'].map(
      (name) =>
        [
          `an authority ${name} that the trust bundle does not have`,
          (where: string) => {
            for (const file of [`keys/${name}.key`, `certificates/${name}.pem`])
              cpSync(path.join(directory, 'people', file), path.join(where, file));
          },
          'trust-bundle-keys',
        ] as [string, (where: string) => void, string],
    ),
  ])('check refuses %s', async (name, spoil, expected) => {
    const where = copy(name.replaceAll(' ', '-'));
    spoil(where);
    const { exit, stdout } = await check(where);
    expect(exit).toBe(1);
    expect(json(stdout)).toMatchObject({ ok: false, denial: { check: expected } });
  });

  it('check warns 30, 7 and 1 days before an end, and refuses what has ended', async () => {
    const ends = certificate('certificates/tls.pem').notAfter;
    const day = 86_400_000;
    const at = async (left: number) => {
      vi.useFakeTimers({ now: ends - left, toFake: ['Date'] });
      const result = await check(home);
      vi.useRealTimers();
      return { exit: result.exit, warnings: json(result.stdout)['warnings'] as string[] };
    };
    const tls = (warnings: string[]) => warnings.filter((warning) => warning.startsWith('tls '));
    expect(tls((await at(31 * day)).warnings)).toEqual([]);
    expect(tls((await at(30 * day)).warnings)).toEqual(['tls ends in 30 days or less']);
    expect(tls((await at(7 * day)).warnings)).toEqual(['tls ends in 7 days or less']);
    expect(tls((await at(day)).warnings)).toEqual(['tls ends within a day']);
    expect(await at(-1)).toMatchObject({
      exit: 1,
      warnings: expect.arrayContaining(['tls has ended']) as string[],
    });
  });

  it('show says where each value comes from; schema prints the JSON Schema', async () => {
    vi.stubEnv('SEALGATE_LISTEN_PORT', '7443');
    vi.stubEnv('SEALGATE_LISTNE_PORT', '1');
    const shown = json((await cli('config', 'show', '--config', at('sealgate.yaml'), '--json')).stdout);
    expect(shown['keys']).toContainEqual({ key: 'listen.port', value: 7443, source: 'environment' });
    expect(shown['keys']).toContainEqual({ key: 'trustDomain', value: 'example.org', source: 'file' });
    expect(json((await check(home)).stdout)['warnings']).toContain(
      'the environment has SEALGATE_LISTNE_PORT, which is no key',
    );
    expect(json((await cli('config', 'schema')).stdout)).toMatchObject({
      type: 'object',
      additionalProperties: false,
    });
  });

  it('is wrong usage without a file', async () => {
    expect((await cli('config', 'show', '--config', path.join(directory, 'none.yaml'))).exit).toBe(2);
    vi.stubEnv('SEALGATE_CONFIG', at('sealgate.yaml'));
    expect((await cli('config', 'show')).stdout).toContain('example.org');
  });
});

describe('secret files', () => {
  it('are refused when large or no plain file', () => {
    expectRefusal('secret-file', () => readSecretFile(at('keys/tls.key'), 10));
    expectRefusal('secret-file', () => readSecretFile(at('keys')));
    expectRefusal('secret-file', () => {
      checkSecretDirectory(at('keys/tls.key'));
    });
  });

  it('that are not kept here can’t be asked for', () => {
    const ring = readKeyRing(findConfig(at('sealgate.yaml')).files);
    expectRefusal('key-file', () => ring.privateKey('operator-ca'));
  });
});

describe('an operator’s name', () => {
  it('is read strictly', () => {
    for (const roles of ['', 'root', 'admin+admin', 'admin+', 'admin,audit'])
      expectRefusal('operator-id', () => parseOperatorId(`urn:sealgate:operator:example.org:a:${roles}`));
    expectRefusal('operator-id', () => parseOperatorId('spiffe://example.org/operator/a'));
    expectRefusal('operator-id', () =>
      formatOperatorId({ trustDomain: 'example.org', name: 'a:b', roles: ['audit'] }),
    );
    expect(parseOperatorId('urn:sealgate:operator:example.org:a:invite+approve').roles).toEqual([
      'invite',
      'approve',
    ]);
  });
});
