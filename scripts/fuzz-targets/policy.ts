import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import { equalBytes, jwkThumbprint, utf8 } from '../../src/base/index.ts';
import {
  buildBundle,
  bundleBytes,
  loadCedar,
  manifestBytes,
  manifestOf,
  parseBundle,
  parseManifest,
  readTrustBundle,
  trustBundleBytes,
} from '../../src/policy/index.ts';
import { parseYaml } from '../../src/policy/yaml.ts';
import { issueCertificate, toPem } from '../../src/x509/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const SHARE = path.resolve(import.meta.dirname, '../../share/policy');
const FILES = ['policy.yaml', 'execute.cedar', 'administer.cedar', 'references/server.json'];

const publicPem = (key: KeyObject): string =>
  createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
const ed25519 = (): KeyObject => generateKeyPairSync('ed25519').privateKey;
const p256 = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

const fill = (text: string): string =>
  text
    .replaceAll('@TRUST_DOMAIN@', 'example.org')
    .replaceAll('@NOT_BEFORE@', '2026-11-01T00:00:00Z')
    .replaceAll('@NOT_AFTER@', '2026-12-31T00:00:00Z');
const sources = new Map(
  FILES.map((name) => [name, utf8(fill(readFileSync(path.join(SHARE, name), 'utf8')))] as const),
);
const signers = [{ name: 'release', key: publicPem(ed25519()), algorithm: 'ed25519' }];
sources.set('artifacts.json', utf8(JSON.stringify({ version: 1, threshold: 1, signers })));
const { bundle } = buildBundle(sources, loadCedar);

const ca = (): string => {
  const key = p256();
  return toPem(
    issueCertificate({
      serial: new Uint8Array([1]),
      subject: { commonName: 'ca' },
      notBefore: 0,
      notAfter: 1_000_000_000_000,
      publicKey: createPublicKey(key),
      issuer: { key },
      purpose: { kind: 'ca' },
    }),
  );
};
const signing = () => {
  const key = p256();
  return [{ kid: jwkThumbprint(key), algorithm: 'ES256' as const, key: publicPem(key) }];
};
const trust = trustBundleBytes({
  v: 1,
  trustDomain: 'example.org',
  version: 1,
  previous: null,
  issuer: 'https://verifier.example.org',
  cas: { agent: [ca()], svid: [ca()], attestation: [ca()] },
  keys: { authorization: signing(), ear: signing(), status: signing(), jwtSvid: signing() },
  log: [formatVkey(noteSigner('example.org/log', 'note', ed25519()).key)],
  authorities: { threshold: 1, keys: [{ name: 'a', algorithm: 'ed25519', key: publicPem(ed25519()) }] },
  witnesses: null,
});

export const targets: Record<string, FuzzTarget> = {
  'policy-bundle': {
    seeds: () => [bundleBytes(bundle)],
    run: (input) => {
      parseBundle(input);
    },
  },
  'policy-manifest': {
    seeds: () => [manifestBytes(manifestOf(bundle))],
    run: (input) => {
      // What is accepted is what would be written again: one policy has one manifest.
      if (!equalBytes(manifestBytes(parseManifest(input)), input)) throw new Error('another text');
    },
  },
  'policy-yaml': {
    seeds: () => [sources.get('policy.yaml') ?? new Uint8Array()],
    run: (input) => {
      parseYaml(input, 'policy.yaml', 'policy');
    },
  },
  'trust-bundle': {
    seeds: () => [trust],
    run: (input) => {
      if (!equalBytes(trustBundleBytes(readTrustBundle(input).document), input))
        throw new Error('another text');
    },
  },
};
