import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import {
  OID,
  der,
  extension,
  parseCertificate,
  parsePem,
  tlsClientProfile,
  toPem,
  verifyPath,
} from '../../src/x509/index.ts';
import type { Certificate } from '../../src/x509/index.ts';
import { NOW, certificate, root } from './support.ts';
import type { Wish } from './support.ts';

let dir: string;
beforeAll(() => (dir = mkdtempSync(path.join(tmpdir(), 'sealgate-openssl-'))));
afterAll(() => {
  rmSync(dir, { recursive: true });
});
const file = (name: string) => path.join(dir, name);

interface Chain {
  readonly leaf: Certificate;
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
}

function opensslAccepts({ leaf, intermediates, anchors }: Chain): boolean {
  const pem = (certificates: readonly Certificate[]) => certificates.map(({ raw }) => toPem(raw)).join('');
  writeFileSync(file('roots.pem'), pem(anchors));
  writeFileSync(file('chain.pem'), pem(intermediates));
  writeFileSync(file('leaf.pem'), pem([leaf]));
  const flags = ['-no-CApath', '-no-CAstore', '-purpose', 'sslclient', '-attime', String(NOW / 1000)];
  const untrusted = intermediates.length === 0 ? [] : ['-untrusted', file('chain.pem')];
  const { status } = spawnSync('openssl', [
    'verify',
    ...flags,
    '-CAfile',
    file('roots.pem'),
    ...untrusted,
    file('leaf.pem'),
  ]);
  return status === 0;
}

function weAccept(chain: Chain): boolean {
  try {
    return verifyPath({ ...chain, now: NOW, profile: tlsClientProfile }).chain.length >= 2;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}

const past = { notAfter: NOW - 86_400_000 };
const future = { notBefore: NOW + 86_400_000 };
const unknown = { more: [{ oid: '1.3.6.1.4.1.99999.1', critical: true, value: der.null() }] };
const notCa = { extensions: [extension.basicConstraints(false), extension.keyUsage('digitalSignature')] };
const cannotSign = { extensions: [extension.basicConstraints(true), extension.keyUsage('cRLSign')] };
const otherPurpose = { more: [extension.extKeyUsage(OID.emailProtection)] };
const client = (purpose: string, usage: 'digitalSignature' | 'cRLSign' = 'digitalSignature') => ({
  extensions: [extension.basicConstraints(false), extension.keyUsage(usage), extension.extKeyUsage(purpose)],
});

/** One difference at a time from a good chain root → a → b → leaf. */
const FAULTS: Readonly<Record<string, Partial<Record<'root' | 'a' | 'b' | 'leaf', Wish>>>> = {
  none: {},
  'expired leaf': { leaf: past },
  'expired a': { a: past },
  'expired root': { root: past },
  'leaf not yet valid': { leaf: future },
  'b not yet valid': { b: future },
  'b is no CA': { b: notCa },
  'a is no CA': { a: notCa },
  'b may not sign': { b: cannotSign },
  'path length 0 at a': { a: { pathLength: 0 } },
  'path length 1 at a': { a: { pathLength: 1 } },
  'path length 1 at the root': { root: { pathLength: 1 } },
  'path length 2 at the root': { root: { pathLength: 2 } },
  'unknown critical in the leaf': {
    leaf: { ...client(OID.clientAuth), extensions: [...client(OID.clientAuth).extensions, ...unknown.more] },
  },
  'unknown critical in a': { a: unknown },
  'a for another purpose': { a: otherPurpose },
  'leaf for another purpose': { leaf: client(OID.serverAuth) },
  'leaf with another key usage': { leaf: client(OID.clientAuth, 'cRLSign') },
  'leaf signed by another key': { leaf: { signer: 'stranger' } },
  'a signed by another key': { a: { signer: 'stranger' } },
  'b of another issuer': { b: { issuer: 'stranger' } },
  'root with another key': { root: { key: 'stranger', signer: 'stranger' } },
};

function build(fault: Partial<Record<'root' | 'a' | 'b' | 'leaf', Wish>>): Chain {
  return {
    anchors: [root(fault.root)],
    intermediates: [
      certificate({ subject: 'a', ca: true, ...fault.a }),
      certificate({ subject: 'b', issuer: 'a', ca: true, ...fault.b }),
    ],
    leaf: certificate({ issuer: 'b', ...client(OID.clientAuth), ...fault.leaf }),
  };
}

describe('openssl verify says the same', () => {
  it.each(Object.entries(FAULTS))('%s', (name, fault) => {
    const chain = build(fault);
    const ok = ['none', 'path length 1 at a', 'path length 2 at the root'].includes(name);
    expect([weAccept(chain), opensslAccepts(chain)]).toEqual([ok, ok]);
  });

  it('of chains with certificates left out or too many', () => {
    const good = build({});
    const more = certificate({ subject: 'root', key: 'stranger', signer: 'stranger', ca: true });
    const cases: [Chain, boolean][] = [
      [{ ...good, intermediates: good.intermediates.slice(1) }, false],
      [{ ...good, intermediates: [...good.intermediates].reverse() }, true],
      [{ ...good, intermediates: [more, ...good.intermediates] }, true],
      [{ ...good, anchors: [root({ subject: 'stranger' })] }, false],
      [{ ...good, leaf: certificate({ subject: 'leaf', issuer: 'leaf', ...client(OID.clientAuth) }) }, false],
    ];
    for (const [chain, ok] of cases) expect([weAccept(chain), opensslAccepts(chain)]).toEqual([ok, ok]);
  });
});

describe('chains that openssl makes', () => {
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const read = (name: string) => parseCertificate(parsePem(new Uint8Array(readFileSync(file(name))))[0]!);

  const KINDS: Readonly<Record<string, { key: string[]; sign: string[] }>> = {
    'RSA PKCS #1 v1.5': { key: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'], sign: ['-sha384'] },
    RSASSA: {
      key: ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
      sign: ['-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:32'],
    },
    'P-521': { key: ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'], sign: ['-sha512'] },
    Ed25519: { key: ['-algorithm', 'ED25519'], sign: [] },
  };

  it.each(Object.entries(KINDS))('%s: accepted, and refused after one changed bit', (_, { key, sign }) => {
    writeFileSync(
      file('ext'),
      '[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n' +
        '[leaf]\nbasicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n' +
        'subjectAltName=DNS:a.example,URI:https://a.example/,IP:10.0.0.1\nauthorityKeyIdentifier=keyid,issuer\n',
    );
    openssl('genpkey', ...key, '-out', 'ca.key');
    openssl('genpkey', ...key, '-out', 'leaf.key');
    openssl('req', '-new', '-key', 'ca.key', '-subj', '/O=Test/CN=Root', '-out', 'ca.csr');
    openssl(
      'x509',
      '-req',
      '-in',
      'ca.csr',
      '-signkey',
      'ca.key',
      ...sign,
      '-days',
      '3650',
      '-extfile',
      'ext',
      '-extensions',
      'ca',
      '-out',
      'ca.pem',
    );
    openssl('req', '-new', '-key', 'leaf.key', '-subj', '/CN=Leaf', '-out', 'leaf.csr');
    openssl(
      'x509',
      '-req',
      '-in',
      'leaf.csr',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-set_serial',
      '77',
      ...sign,
      '-days',
      '365',
      '-extfile',
      'ext',
      '-extensions',
      'leaf',
      '-out',
      'leaf.pem',
    );
    const [leaf, anchor] = [read('leaf.pem'), read('ca.pem')];
    const chain = {
      leaf,
      anchors: [anchor],
      intermediates: [],
      now: leaf.notBefore + 1000,
      profile: tlsClientProfile,
    };
    expect(verifyPath(chain).findings.dns).toEqual(['a.example']);
    const changed = leaf.raw.slice();
    changed[changed.length - 3]! ^= 0x10;
    expect(() => verifyPath({ ...chain, leaf: parseCertificate(changed) })).toThrow(/x509-signature/);
  });

  it('SHA-1: refused, unless the caller names the quirk', () => {
    openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', 'old.key');
    openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      'old.key',
      '-sha1',
      '-subj',
      '/CN=Old',
      '-addext',
      'keyUsage=critical,keyCertSign',
      '-days',
      '3650',
      '-out',
      'old.pem',
    );
    openssl('req', '-new', '-key', 'leaf.key', '-subj', '/CN=Leaf', '-out', 'leaf.csr');
    openssl(
      'x509',
      '-req',
      '-in',
      'leaf.csr',
      '-CA',
      'old.pem',
      '-CAkey',
      'old.key',
      '-set_serial',
      '5',
      '-sha1',
      '-days',
      '3',
      '-extfile',
      'ext',
      '-extensions',
      'leaf',
      '-out',
      'old-leaf.pem',
    );
    const [leaf, old] = [read('old-leaf.pem'), read('old.pem')];
    const question = { leaf, anchors: [old], now: leaf.notBefore + 1000, profile: tlsClientProfile };
    expect(() => verifyPath(question)).toThrow(/x509-weak-signature/);
    expect(verifyPath({ ...question, quirks: ['sha1-signature'] }).quirks).toEqual(['sha1-signature']);
  });
});
