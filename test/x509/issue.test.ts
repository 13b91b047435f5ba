import { execFileSync } from 'node:child_process';
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  der,
  encodeCertificate,
  encodeName,
  generalName,
  issueCertificate,
  parseCertificate,
  randomSerial,
  toPem,
} from '../../src/x509/index.ts';
import type { CertificatePurpose } from '../../src/x509/index.ts';

const VALID = { notBefore: Date.UTC(2020, 0, 1), notAfter: Date.UTC(2060, 0, 1) };
const TPM = { manufacturer: 'id:00001014', model: 'swtpm', version: 'id:20191023' };
const PURPOSES: readonly CertificatePurpose[] = [
  { kind: 'ca', pathLength: 0 },
  { kind: 'ek', tpm: TPM },
  { kind: 'ek', tpm: TPM, layout: 'one-rdn' },
  { kind: 'ak', tpm: TPM },
  { kind: 'tls-server', dns: ['verifier.example'], ip: ['127.0.0.1', 'fe80::1:2'] },
  { kind: 'tls-client', uri: 'https://verifier.example/hosts/1' },
  { kind: 'x509-svid', id: 'spiffe://example.org/host/1' },
  { kind: 'code-signing' },
];

const FIELDS = {
  ...VALID,
  serial: new Uint8Array([1]),
  issuer: encodeName([]),
  subject: encodeName([]),
  extensions: [],
};

let counter = 0;
const serial = () => new Uint8Array([++counter]);
let dir: string;
beforeAll(() => (dir = mkdtempSync(path.join(tmpdir(), 'sealgate-x509-'))));
afterAll(() => {
  rmSync(dir, { recursive: true });
});

const issuers = {
  'P-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'P-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  RSA: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  Ed25519: generateKeyPairSync('ed25519'),
};

describe('issueCertificate', () => {
  it.each(Object.entries(issuers))('%s issuers: openssl accepts every purpose', (name, ca) => {
    const subjectKey = name === 'RSA' ? issuers.RSA : issuers['P-256'];
    const root = issueCertificate({
      ...VALID,
      subject: { commonName: 'Test root', organization: 'Größe' },
      publicKey: ca.publicKey,
      issuer: { key: ca.privateKey },
      serial: serial(),
      purpose: { kind: 'ca' },
    });
    writeFileSync(path.join(dir, 'root.pem'), toPem(root));
    const files = PURPOSES.map((purpose, i) => {
      const leaf = issueCertificate({
        ...VALID,
        subject: purpose.kind === 'x509-svid' || purpose.kind === 'ek' ? {} : { commonName: `leaf ${i}` },
        publicKey: subjectKey.publicKey,
        issuer: { certificate: root, key: ca.privateKey },
        serial: serial(),
        purpose,
      });
      const file = path.join(dir, `leaf-${i}.pem`);
      writeFileSync(file, toPem(leaf));
      return file;
    });
    const out = execFileSync('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      path.join(dir, 'root.pem'),
      ...files,
    ]);
    expect(out.toString().match(/: OK/g)).toHaveLength(PURPOSES.length);
  });

  it('what is issued parses to what was ordered, and Node reads the same', () => {
    const ca = issuers['P-256'];
    const issued = issueCertificate({
      ...VALID,
      subject: { commonName: 'verifier' },
      publicKey: ca.publicKey,
      issuer: { key: ca.privateKey },
      serial: randomSerial({ bytes: (n) => new Uint8Array(n).fill(0xff) }),
      purpose: { kind: 'tls-server', dns: ['a.example'], ip: ['::1'], uri: 'spiffe://a/b' },
    });
    const certificate = parseCertificate(issued);
    expect(certificate).toMatchObject({
      version: 3,
      serial: '7f'.padEnd(32, 'f'),
      notBefore: VALID.notBefore,
      notAfter: VALID.notAfter,
      extKeyUsage: ['1.3.6.1.5.5.7.3.1'],
      basicConstraints: { ca: false, pathLength: undefined },
      subjectAltName: [
        { type: 'dns', value: 'a.example' },
        { type: 'ip', value: '0000:0000:0000:0000:0000:0000:0000:0001' },
        { type: 'uri', value: 'spiffe://a/b' },
      ],
    });
    const node = new X509Certificate(issued);
    expect(node.subject).toBe(certificate.subject.text);
    expect(node.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(certificate.fingerprint);
    expect(node.verify(ca.publicKey)).toBe(true);
  });

  it('refuses to sign with a key that no certificate here may be signed by', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    expect(() =>
      issueCertificate({
        ...VALID,
        subject: { commonName: 'x' },
        publicKey: issuers.RSA.publicKey,
        issuer: { key: privateKey },
        serial: serial(),
        purpose: { kind: 'ca' },
      }),
    ).toThrow(/secp256k1/);
    expect(publicKey.type).toBe('public');
    const exchange = generateKeyPairSync('x25519').privateKey;
    expect(() => encodeCertificate({ ...FIELDS, publicKey: new Uint8Array() }, exchange)).toThrow(/x25519/);
  });

  it('refuses addresses and values that can’t be encoded', () => {
    for (const address of ['', '1.2.3', '1.2.3.256', '::1::', 'a.b.c.d', '1:2:3:4:5:6:7:8:9', '::12345']) {
      expect(() => generalName.ip(address), address).toThrow(TypeError);
    }
    expect(() => der.octetString(new Uint8Array(2 ** 24))).toThrow(RangeError);
  });
});
