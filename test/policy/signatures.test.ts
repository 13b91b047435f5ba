import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { addSignature, dsseJson, parseDsse } from '../../src/artifact/index.ts';
import type { DsseEnvelope, SigningKey } from '../../src/artifact/index.ts';
import { formatVkey, noteSigner } from '../../src/audit/index.ts';
import { utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import {
  MANIFEST_TYPE,
  TRUST_BUNDLE_TYPE,
  bundleBytes,
  countAuthorities,
  manifestBytes,
  manifestOf,
  openBundle,
  openFirstTrustBundle,
  openNextTrustBundle,
  parseManifest,
  raiseHighWater,
  readAuthorities,
  readTrustBundle,
  requireSuccessor,
  signAsAuthority,
  trustBundleBytes,
  verifyManifest,
  verifyTrustChain,
} from '../../src/policy/index.ts';
import type { ManifestTrust, TrustBundleDocument } from '../../src/policy/index.ts';
import { issueCertificate, toPem } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { CLOCK, NOW, build, ed25519, p256, pem, yamlWith } from './support.ts';

const a = ed25519();
const b = p256();
const c = ed25519();
const stranger = ed25519();
const algorithm = (key: SigningKey): 'ed25519' | 'ecdsa-p256' =>
  key.publicKey.type === 'ed25519' ? 'ed25519' : 'ecdsa-p256';
const authoritiesOf = (threshold: number, ...keys: SigningKey[]) => ({
  threshold,
  keys: keys.map((key, i) => ({ name: `authority-${i}`, algorithm: algorithm(key), key: pem(key) })),
});
const never = (path: string, want: string): never => {
  throw new Error(`${path}: ${want}`);
};
const authorities = readAuthorities(authoritiesOf(2, a, b, c), 'test', never);

function signed(payload: Uint8Array, payloadType: string, ...keys: SigningKey[]): Uint8Array {
  let envelope: DsseEnvelope = { payloadType, payload, signatures: [] };
  for (const key of keys) {
    const { signatures } = addSignature({ ...envelope, signatures: [] }, key);
    envelope = { ...envelope, signatures: [...envelope.signatures, ...signatures] };
  }
  return utf8(JSON.stringify(dsseJson(envelope)));
}

const { bundle } = build();
const manifest = manifestOf(bundle);
const payload = manifestBytes(manifest);
const trust: ManifestTrust = { authorities, trustDomain: 'example.org', highest: undefined };
const verify = (bytes: Uint8Array, change: Partial<ManifestTrust> = {}, now = NOW) =>
  verifyManifest(bytes, { ...trust, ...change }, { now: () => now });
const other = (change: JsonObject): Uint8Array =>
  signed(manifestBytes({ ...manifest, ...change }), MANIFEST_TYPE, a, b);

describe('policy manifests', () => {
  it('verify with the threshold of distinct authorities, whatever else signed', () => {
    const first = signAsAuthority(payload, MANIFEST_TYPE, a);
    const both = signAsAuthority(payload, MANIFEST_TYPE, b, parseDsse(utf8(JSON.stringify(first))));
    const verified = verify(utf8(JSON.stringify(both)));
    expect(verified.signers).toEqual([a.publicKey.fingerprint, b.publicKey.fingerprint].sort());
    expect(openBundle(verified, bundleBytes(bundle)).hash).toBe(bundle.hash);
    expect(verify(signed(payload, MANIFEST_TYPE, stranger, c, a))).toMatchObject({ unknown: 1 });
  });

  it.each([
    ['one key twice', [a, a]],
    ['one key and a stranger', [a, stranger]],
    ['strangers', [stranger, ed25519()]],
    ['one key', [b]],
    ['one ECDSA key with two signatures', [b, b, b]],
  ])('refuse %s', (_name, keys) => {
    expectRefusal('policy-signatures', () => verify(signed(payload, MANIFEST_TYPE, ...keys)));
  });

  it('a key listed twice, a threshold over the keys and no authorities are refused', () => {
    const listed = (document: Parameters<typeof readAuthorities>[0]) => () =>
      readAuthorities(document, 'test', never);
    expect(listed(authoritiesOf(2, a, a))).toThrow('distinct');
    expect(listed(authoritiesOf(3, a, b))).toThrow('at most 2');
    expect(listed({ threshold: 1, keys: [{ name: 'x', algorithm: 'ed25519', key: pem(b) }] })).toThrow(
      'algorithm',
    );
    expect(listed({ threshold: 1, keys: [{ name: 'x', algorithm: 'ed25519', key: 'x' }] })).toThrow(
      'public key',
    );
    expectRefusal('policy-signatures', () =>
      verify(signed(payload, MANIFEST_TYPE, a), { authorities: { threshold: 0, keys: [] } }),
    );
    const envelope = parseDsse(signed(payload, MANIFEST_TYPE, a));
    expect(countAuthorities(envelope, authorities).signers).toHaveLength(1);
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const rsa: SigningKey = { privateKey, publicKey: { key: publicKey, type: 'rsa', fingerprint: 'x' } };
    expectRefusal('policy-authority-key', () => signAsAuthority(payload, MANIFEST_TYPE, rsa));
  });

  it('refuse another kind of document, another domain, a changed payload', () => {
    expectRefusal('policy-payload-type', () => verify(signed(payload, TRUST_BUNDLE_TYPE, a, b)));
    expectRefusal('policy-domain', () => verify(other({}), { trustDomain: 'example.com' }));
    const file = JSON.parse(Buffer.from(other({})).toString()) as Record<string, string>;
    const changed = Buffer.from(payload).toString().replace('"version":1', '"version":2');
    const forged = { ...file, payload: Buffer.from(changed).toString('base64') };
    expectRefusal('policy-signatures', () => verify(utf8(JSON.stringify(forged))));
    expectRefusal('policy-manifest', () => verify(other({ more: 1 })));
    expectRefusal('policy-manifest', () => parseManifest(utf8(` ${Buffer.from(payload).toString()}`)));
  });

  it('refuse rollback and a second policy of one version', () => {
    const seen = { version: 5, hash: `sha256:${'a'.repeat(64)}` };
    expectRefusal('policy-rollback', () => verify(other({ version: 4 }), { highest: seen }));
    expectRefusal('policy-rollback', () => verify(other({ version: 5 }), { highest: seen }));
    expect(verify(other({ version: 5, hash: seen.hash }), { highest: seen }).manifest.version).toBe(5);
    expect(raiseHighWater(verify(other({ version: 6 }), { highest: seen })).version).toBe(6);
  });

  it('refuse what is outside its window', () => {
    const end = bundle.validity.notAfter;
    expect(verify(other({}), {}, end).manifest.hash).toBe(bundle.hash);
    expectRefusal('policy-expired', () => verify(other({}), {}, end + 1));
    expectRefusal('policy-expired', () => verify(other({}), {}, bundle.validity.notBefore - 30_001));
    expectRefusal('policy-manifest', () => verify(other({ notAfter: 'never' })));
  });

  it('open only the bundle that was signed', () => {
    const changed = build({ 'policy.yaml': yamlWith('expiration: 30', 'expiration: 31') }).bundle;
    const verified = verifyManifest(other({}), trust, CLOCK);
    expectRefusal('policy-bundle-hash', () => openBundle(verified, bundleBytes(changed)));
    // Same hash, but the gateway would be told another artifact trust or window than the bundle has.
    const wider = verify(other({ notAfter: '2030-01-01T00:00:00Z' }));
    expectRefusal('policy-manifest', () => openBundle(wider, bundleBytes(bundle)));
  });

  it('follow the active policy when published', () => {
    const first = verify(other({}));
    requireSuccessor(first, undefined);
    const active = raiseHighWater(first);
    requireSuccessor(verify(other({ version: 2, previous: active.hash })), active);
    for (const change of [
      { version: 2, previous: null },
      { version: 3, previous: active.hash },
    ])
      expectRefusal('policy-history', () => {
        requireSuccessor(verify(other(change)), active);
      });
    expectRefusal('policy-history', () => {
      requireSuccessor(first, active);
    });
  });
});

const certificate = (): string => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return toPem(
    issueCertificate({
      serial: new Uint8Array([1]),
      subject: { commonName: 'ca' },
      notBefore: NOW,
      notAfter: NOW + 1_000_000,
      publicKey,
      issuer: { key: privateKey },
      purpose: { kind: 'ca' },
    }),
  );
};
const logKey = generateKeyPairSync('ed25519').privateKey;
const authorization = p256();
const document: TrustBundleDocument = {
  v: 1,
  trustDomain: 'example.org',
  version: 1,
  previous: null,
  issuer: 'https://verifier.example.org',
  cas: { agent: [certificate()], svid: [certificate()], attestation: [] },
  keys: {
    authorization: [{ kid: 'a1', algorithm: 'ES256', key: pem(authorization) }],
    ear: [{ kid: 'e1', algorithm: 'Ed25519', key: pem(ed25519()) }],
    status: [],
    jwtSvid: [],
  },
  log: [formatVkey(noteSigner('example.org/log', 'note', logKey).key)],
  authorities: authoritiesOf(2, a, b, c),
  witnesses: null,
};
const sign = (change: Partial<TrustBundleDocument>, ...keys: SigningKey[]): Uint8Array =>
  signed(trustBundleBytes({ ...document, ...change }), TRUST_BUNDLE_TYPE, ...keys);

describe('trust bundles', () => {
  const first = openFirstTrustBundle(sign({}, a, c), 'example.org');
  const second = { version: 2, previous: first.digest, authorities: authoritiesOf(1, stranger) };

  it('walk from version 1, each signed by the authorities before', () => {
    const v2 = openNextTrustBundle(first, sign(second, a, b));
    const third = sign({ ...second, version: 3, previous: v2.digest }, stranger);
    expect(verifyTrustChain(first, [sign(second, a, b), third]).version).toBe(3);
    expect(verifyTrustChain(first, [])).toBe(first);
    expect(first.keys.authorization[0]?.kid).toBe('a1');
    expect(first.cas.agent).toHaveLength(1);
  });

  it.each<[string, string, () => Uint8Array]>([
    ['signed by the new authorities alone', 'policy-signatures', () => sign(second, stranger)],
    ['signed below the threshold before', 'policy-signatures', () => sign(second, a, a)],
    ['a skipped version', 'trust-bundle-chain', () => sign({ ...second, version: 3 }, a, b)],
    ['the same version again', 'policy-signatures', () => sign({}, a)],
    ['version 1 again', 'trust-bundle-chain', () => sign({}, a, b)],
    [
      'another version before',
      'trust-bundle-chain',
      () => sign({ ...second, previous: `sha256:${'0'.repeat(64)}` }, a, b),
    ],
    [
      'another trust domain',
      'trust-bundle-domain',
      () => sign({ ...second, trustDomain: 'example.com' }, a, b),
    ],
    ['a policy manifest', 'policy-payload-type', () => signed(payload, MANIFEST_TYPE, a, b)],
  ])('refuse %s', (_name, check, envelope) => {
    expectRefusal(check, () => verifyTrustChain(first, [envelope()]));
  });

  it('version 1 is signed by its own threshold, for this domain', () => {
    expectRefusal('policy-signatures', () => openFirstTrustBundle(sign({}, a), 'example.org'));
    expectRefusal('trust-bundle-domain', () => openFirstTrustBundle(sign({}, a, b), 'example.com'));
    expectRefusal('trust-bundle-chain', () => openFirstTrustBundle(sign(second, stranger), 'example.org'));
    expectRefusal('trust-bundle-chain', () => verifyTrustChain(first, new Array<Uint8Array>(4097)));
  });

  it('refuse one key for two purposes, wherever it is', () => {
    const shared = document.keys.authorization;
    const logPem = generateKeyPairSync('ed25519');
    for (const change of [
      { keys: { ...document.keys, ear: shared } },
      {
        keys: { ...document.keys, authorization: [{ kid: 'x', algorithm: 'Ed25519' as const, key: pem(a) }] },
      },
      { cas: { ...document.cas, attestation: document.cas.svid } },
      {
        log: [formatVkey(noteSigner('l', 'note', logPem.privateKey).key)],
        keys: {
          ...document.keys,
          status: [
            {
              kid: 's',
              algorithm: 'Ed25519' as const,
              key: logPem.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
            },
          ],
        },
      },
    ])
      expectRefusal('trust-bundle-form', () => trustBundleBytes({ ...document, ...change }));
  });

  it.each<[string, Partial<TrustBundleDocument>]>([
    ['no log key', { log: [] }],
    ['a witness as log', { log: [formatVkey(noteSigner('w', 'cosignature', logKey).key)] }],
    ['a bad vkey', { log: ['x'] }],
    ['a leaf as CA', { cas: { ...document.cas, agent: ['x'] } }],
    ['a bad witness policy', { witnesses: 'quorum x\n' }],
    ['a bad key', { keys: { ...document.keys, ear: [{ kid: 'x', algorithm: 'ES256', key: 'x' }] } }],
    [
      'a key of another algorithm',
      { keys: { ...document.keys, ear: [{ kid: 'x', algorithm: 'ES256', key: pem(stranger) }] } },
    ],
    ['a version before the first', { previous: `sha256:${'0'.repeat(64)}` }],
    ['a threshold over the keys', { authorities: { ...document.authorities, threshold: 4 } }],
  ])('refuse %s', (_name, change) => {
    expectRefusal('trust-bundle-form', () => trustBundleBytes({ ...document, ...change }));
  });

  it('refuse another spelling of the same content', () => {
    expectRefusal('trust-bundle-form', () =>
      readTrustBundle(utf8(` ${Buffer.from(trustBundleBytes(document)).toString()}`)),
    );
  });
});
