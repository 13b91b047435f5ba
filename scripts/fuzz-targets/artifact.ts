import { createHash, generateKeyPairSync } from 'node:crypto';
import {
  assessArtifact,
  dsseJson,
  encodeStatement,
  normalKey,
  parseTrust,
  readStatement,
  signCms,
  signDsse,
  signSshsig,
  SSHSIG_LABEL,
} from '../../src/artifact/index.ts';
import type { SignatureFormat, SigningKey } from '../../src/artifact/index.ts';
import { toBase64, toHex, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { issueCertificate, toPem } from '../../src/x509/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const NOW = Date.UTC(2026, 10, 22);
const HOUR = 3_600_000;

function signingKey(pair: {
  privateKey: SigningKey['privateKey'];
  publicKey: SigningKey['privateKey'];
}): SigningKey {
  return { privateKey: pair.privateKey, publicKey: normalKey(pair.publicKey) };
}
const ec = signingKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const ed = signingKey(generateKeyPairSync('ed25519'));
const rsa = signingKey(generateKeyPairSync('rsa', { modulusLength: 2048 }));

const digest = (name: string): Uint8Array => new Uint8Array(createHash(name).update('content').digest());
const digests = { sha256: digest('sha256'), sha384: digest('sha384'), sha512: digest('sha512') };

const order = { notBefore: NOW - HOUR, notAfter: NOW + HOUR };
const root = issueCertificate({
  ...order,
  serial: new Uint8Array([1]),
  subject: { commonName: 'root' },
  publicKey: rsa.publicKey.key,
  issuer: { key: rsa.privateKey },
  purpose: { kind: 'ca' },
});
const leaf = issueCertificate({
  ...order,
  serial: new Uint8Array([2]),
  subject: { commonName: 'leaf' },
  publicKey: ec.publicKey.key,
  issuer: { certificate: root, key: rsa.privateKey },
  purpose: { kind: 'code-signing' },
});

const pem = (key: SigningKey): string => key.publicKey.key.export({ type: 'spki', format: 'pem' }).toString();
const trustJson: JsonObject = {
  version: 1,
  threshold: 1,
  signers: [
    { name: 'ed', key: pem(ed), algorithm: 'ed25519' },
    { name: 'pss', key: pem(rsa), algorithm: 'rsa-pss' },
    { name: 'ec', key: pem(ec), algorithm: 'ecdsa-p256', encoding: 'der', formats: ['dsse', 'ssh'] },
    {
      name: 'rsa',
      key: pem(rsa),
      algorithm: 'rsa-pkcs1',
      hashes: ['sha256', 'sha512'],
      notAfter: '2030-01-01T00:00:00Z',
    },
  ],
  roots: [{ name: 'root', certificate: toPem(root), subjects: ['CN=leaf'] }],
  names: ['tool'],
  minimumVersion: '1.0',
  maximumAge: 86_400,
  deny: [`sha256:${'00'.repeat(32)}`],
};
const trust = parseTrust(
  utf8(JSON.stringify({ version: 1, signers: trustJson['signers'], roots: trustJson['roots'] })),
);
const statement = encodeStatement({
  name: 'tool',
  sha256: toHex(digests.sha256),
  version: '1.4.2',
  signedAt: NOW,
});

/** Verification as a whole: it never throws what a signature made it do, and any crash of a parser passes through. */
function verify(format: SignatureFormat, bytes: Uint8Array): void {
  const { refusal } = assessArtifact({ digests, envelopes: [{ format, bytes }] }, trust, { now: () => NOW });
  if (refusal !== undefined) throw refusal;
}

/** Base64 would hide the structure from the mutations, so they work on what is inside. */
function armored(blob: Uint8Array): Uint8Array {
  const body = toBase64(blob).replace(/(.{70})(?=.)/g, '$1\n');
  return utf8(`-----BEGIN ${SSHSIG_LABEL}-----\n${body}\n-----END ${SSHSIG_LABEL}-----\n`);
}
const inside = (armor: string): Uint8Array =>
  new Uint8Array(Buffer.from(armor.split('\n').slice(1, -2).join(''), 'base64'));

export const targets: Record<string, FuzzTarget> = {
  dsse: {
    seeds: () => [ed, ec, rsa].map((key) => utf8(JSON.stringify(dsseJson(signDsse(statement, key))))),
    run: (input) => {
      verify('dsse', input);
    },
  },
  // Signed payloads are the only ones that are read; here as if any was signed.
  'in-toto-statement': {
    seeds: () => [statement],
    run: (input) => {
      readStatement(input, digests, trust);
    },
  },
  cms: {
    seeds: () => [
      signCms({ sha256: digests.sha256, key: ec, certificates: [leaf, root], signingTime: NOW }),
      signCms({ sha256: digests.sha256, key: rsa, certificates: [root], signingTime: NOW }),
    ],
    run: (input) => {
      verify('cms', input);
    },
  },
  sshsig: {
    seeds: () => [ed, ec, rsa].map((key) => inside(signSshsig(digests.sha256, key, 'file'))),
    run: (input) => {
      verify('ssh', armored(input));
    },
  },
  'artifact-trust': {
    seeds: () => [utf8(JSON.stringify(trustJson))],
    run: (input) => {
      parseTrust(input);
    },
  },
};

// A seed that is refused would fuzz the first check only: this throws then.
for (const target of Object.values(targets)) for (const seed of target.seeds()) target.run(seed);
