import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  assessArtifact,
  parsePublicKey,
  parseTrust,
  sshPublicBlob,
  verifyArtifact,
} from '../../src/artifact/index.ts';
import { toBase64, utf8 } from '../../src/base/index.ts';
import type { JsonValue } from '../../src/base/index.ts';
import {
  CLOCK,
  DIGESTS,
  NOW,
  SHA256,
  dsse,
  makeKeys,
  publicPem,
  signer,
  trustOf,
} from '../support/artifact.ts';
import { expectRefusal } from '../support/refusals.ts';

const keys = makeKeys();
const good = signer(keys.ed);
const DAY = 86_400_000;
const iso = (ms: number) => new Date(ms).toISOString();

describe('the trust document', () => {
  it('has defaults that allow little', () => {
    expect(trustOf({ signers: [good] })).toMatchObject({
      threshold: 1,
      names: undefined,
      predicateTypes: ['https://sealgate.dev/artifact/v1'],
      namespaces: ['file'],
      roots: [],
      keys: [{ algorithm: 'ed25519', formats: ['dsse', 'ssh'], hashes: ['sha256', 'sha384', 'sha512'] }],
    });
  });

  it.each<[string, Record<string, JsonValue>]>([
    ['nobody who could sign', {}],
    ['an empty list of signers', { signers: [] }],
    ['an empty list of roots', { signers: [good], roots: [] }],
    ['an empty list of names', { signers: [good], names: [] }],
    ['an unknown member', { signers: [good], treshold: 2 }],
    ['an unknown member of a signer', { signers: [{ ...good, expires: 'never' }] }],
    ['another version', { version: 2, signers: [good] }],
    ['a threshold of 0', { threshold: 0, signers: [good] }],
    ['a threshold that no set of keys meets', { threshold: 2, signers: [good] }],
    [
      'a threshold that one key listed twice would meet',
      { threshold: 2, signers: [good, { ...good, name: 'again' }] },
    ],
    ['a signer without a key', { signers: [{ name: 'x', algorithm: 'ed25519' }] }],
    ['a signer without an algorithm', { signers: [{ name: 'x', key: publicPem(keys.ed) }] }],
    ['an algorithm that the key is not for', { signers: [{ ...good, algorithm: 'rsa-pss' }] }],
    ['an unknown algorithm', { signers: [{ ...good, algorithm: 'none' }] }],
    ['an encoding for what has none', { signers: [{ ...good, encoding: 'der' }] }],
    ['a format that the algorithm has not', { signers: [{ ...good, formats: ['cms'] }] }],
    ['RSASSA-PSS for SSH', { signers: [{ ...signer(keys.rsa), formats: ['ssh'] }] }],
    ['an unknown format', { signers: [{ ...good, formats: ['pgp'] }] }],
    ['SHA-1', { signers: [{ ...good, hashes: ['sha1'] }] }],
    ['a key that is none', { signers: [{ ...good, key: 'hello' }] }],
    [
      'a private key',
      { signers: [{ ...good, key: keys.ed.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string }] },
    ],
    ['two keys in one text', { signers: [{ ...good, key: publicPem(keys.ed) + publicPem(keys.ec) }] }],
    ['a window that is empty', { signers: [good], notBefore: iso(NOW), notAfter: iso(NOW - 1) }],
    [
      'a signer’s window that is empty',
      { signers: [{ ...good, notBefore: iso(NOW), notAfter: iso(NOW - 1) }] },
    ],
    ['a time without zone', { signers: [good], notAfter: '2026-11-22T00:00:00' }],
    ['a minimum version that is none', { signers: [good], minimumVersion: 'latest' }],
    ['a deny-list entry without algorithm', { signers: [good], deny: [SHA256] }],
    ['a deny-list entry in uppercase', { signers: [good], deny: [`sha256:${SHA256.toUpperCase()}`] }],
    ['a root that is no certificate', { roots: [{ name: 'r', certificate: 'x' }] }],
    ['a root for Ed25519', { roots: [{ name: 'r', certificate: 'AAAA', algorithms: ['ed25519'] }] }],
    ['a maximum age of 0', { signers: [good], maximumAge: 0 }],
  ])('with %s is refused', (_name, members) => {
    expectRefusal('trust-document', () => trustOf(members));
  });

  it.each(['', '[]', '{"version":1,"version":1}', 'x', '{"version":1}trailing'])('%j is refused', (text) => {
    try {
      parseTrust(utf8(text));
      expect.unreachable();
    } catch (error) {
      expect(['malformed', 'trust-document']).toContain((error as { check?: string }).check);
    }
  });
});

describe('keys', () => {
  it('one key has one fingerprint, whatever it is written in', () => {
    const pem = publicPem(keys.ec);
    const line = `ecdsa-sha2-nistp256 ${toBase64(sshPublicBlob(keys.ec))} release@example`;
    expect(parsePublicKey(line).fingerprint).toBe(keys.ec.publicKey.fingerprint);
    expect(parsePublicKey(`\n${pem}\n`).fingerprint).toBe(keys.ec.publicKey.fingerprint);
    // The same point, compressed.
    const uncompressed = keys.ec.publicKey.key.export({ type: 'spki', format: 'der' });
    const [x, y] = [uncompressed.subarray(-64, -32), uncompressed.subarray(-32)];
    const prefix = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex');
    const compressed = Buffer.concat([prefix, Buffer.from([2 + ((y[31] ?? 0) & 1)]), x]).toString('base64');
    const compressedPem = `-----BEGIN PUBLIC KEY-----\n${compressed}\n-----END PUBLIC KEY-----\n`.replace(
      /(.{64})(?=[^-\n])/,
      '$1\n',
    );
    expect(parsePublicKey(compressedPem).fingerprint).toBe(keys.ec.publicKey.fingerprint);
  });

  it('an id-RSASSA-PSS key is the RSA key in it', () => {
    const { publicKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
    const pss = parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }) as string);
    expect(pss).toMatchObject({ type: 'rsa' });
    const n = Buffer.from((pss.key.export({ format: 'jwk' }) as { n: string }).n, 'base64url');
    expect(publicKey.export({ type: 'spki', format: 'der' }).includes(n)).toBe(true);
  });

  it.each<[string, string, () => string]>([
    ['P-384', 'artifact-key', () => pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey)],
    [
      'secp256k1',
      'artifact-key',
      () => pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey),
    ],
    ['Ed448', 'artifact-key', () => pemOf(generateKeyPairSync('ed448').publicKey)],
    ['X25519', 'artifact-key', () => pemOf(generateKeyPairSync('x25519').publicKey)],
    [
      'RSA of 1024 bits',
      'artifact-key',
      () => pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey),
    ],
    [
      'RSA with exponent 3',
      'artifact-key',
      () => pemOf(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey),
    ],
    [
      'trailing bytes',
      'malformed',
      () =>
        wrap(
          Buffer.concat([keys.ed.publicKey.key.export({ type: 'spki', format: 'der' }), Buffer.from([0])]),
        ),
    ],
    ['a point off the curve', 'malformed', () => wrap(offCurve())],
    [
      'an SSH type that differs from its blob',
      'malformed',
      () => `ssh-rsa ${toBase64(sshPublicBlob(keys.ed))}`,
    ],
    [
      'an SSH key with trailing bytes',
      'malformed',
      () => `ssh-ed25519 ${toBase64(new Uint8Array([...sshPublicBlob(keys.ed), 0]))}`,
    ],
    [
      'an SSH security key',
      'artifact-key',
      () => `sk-ssh-ed25519@openssh.com ${toBase64(utf8('\0\0\0\x1ask-ssh-ed25519@openssh.com'))}`,
    ],
    ['two lines', 'malformed', () => `ssh-ed25519 ${toBase64(sshPublicBlob(keys.ed))} a\nssh-ed25519 x`],
    ['base64 with junk', 'malformed', () => `ssh-ed25519 ${toBase64(sshPublicBlob(keys.ed))}!`],
    [
      'a line over 76 characters in PEM',
      'malformed',
      () =>
        publicPem(keys.rsa)
          .replaceAll('\n', '')
          .replace('KEY-----', 'KEY-----\n')
          .replace('-----END', '\n-----END'),
    ],
    [
      'an SSH point off the curve',
      'malformed',
      () => `ecdsa-sha2-nistp256 ${toBase64(flip(sshPublicBlob(keys.ec), 60))}`,
    ],
  ])('%s is refused', (_name, check, make) => {
    expectRefusal(check, () => parsePublicKey(make()));
  });
});

function pemOf(key: { export: (options: { type: 'spki'; format: 'pem' }) => string | Buffer }): string {
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

function wrap(der: Uint8Array): string {
  return `-----BEGIN PUBLIC KEY-----\n${(toBase64(der).match(/.{1,64}/g) ?? []).join('\n')}\n-----END PUBLIC KEY-----\n`;
}

function flip(bytes: Uint8Array, at: number): Uint8Array {
  const out = bytes.slice();
  out[at] = (out[at] ?? 0) ^ 1;
  return out;
}

function offCurve(): Uint8Array {
  const der = new Uint8Array(keys.ec.publicKey.key.export({ type: 'spki', format: 'der' }));
  return flip(der, der.length - 1);
}

describe('what a signature has to satisfy besides', () => {
  const check = (members: Record<string, JsonValue>, envelope = dsse(keys.ed)) =>
    verifyArtifact(
      { digests: DIGESTS, envelopes: [envelope] },
      trustOf({ signers: [good], ...members }),
      CLOCK,
    );

  it('accepts what is inside of every bound', () => {
    const members = {
      names: ['tool'],
      notBefore: iso(NOW),
      notAfter: iso(NOW),
      minimumVersion: '1.4',
      maximumAge: 60,
      deny: [`sha256:${'00'.repeat(32)}`],
    };
    expect(check(members, dsse(keys.ed, { version: '1.4.0' }))).toMatchObject({
      name: 'tool',
      version: '1.4.0',
    });
  });

  it.each<[string, string, Record<string, JsonValue>, Parameters<typeof dsse>[1]]>([
    ['another name', 'artifact-name', { names: ['other'] }, {}],
    ['a trust document that is over', 'artifact-window', { notAfter: iso(NOW - 1) }, {}],
    ['a trust document that has not begun', 'artifact-window', { notBefore: iso(NOW + 1) }, {}],
    [
      'a signature from before the window',
      'artifact-window',
      { notBefore: iso(NOW - 5) },
      { signedAt: NOW - DAY },
    ],
    ['a signature from the future', 'artifact-window', {}, { signedAt: NOW + DAY }],
    ['a signature that is too old', 'artifact-age', { maximumAge: 3600 }, { signedAt: NOW - 3_601_000 }],
    ['an old version', 'artifact-version', { minimumVersion: '1.10' }, { version: '1.9' }],
    ['no version', 'artifact-version', { minimumVersion: '1.0' }, {}],
    ['a denied digest', 'artifact-denied', { deny: [`sha256:${SHA256}`] }, {}],
  ])('refuses %s', (_name, id, members, change) => {
    const refusal = expectRefusal(id, () => check(members, dsse(keys.ed, change)));
    expect(refusal.failures.map((failure) => failure.check)).toEqual([id]);
  });

  it('refuses a signer outside of the signer’s own window', () => {
    for (const window of [{ notAfter: iso(NOW - 1) }, { notBefore: iso(NOW + 1) }]) {
      expectRefusal('artifact-window', () => check({ signers: [{ ...good, ...window }] }));
    }
    // The same key listed again with a window that holds.
    expect(check({ signers: [{ ...good, notAfter: iso(NOW - 1) }, good] }).signers).toHaveLength(1);
  });

  it('a denied digest is refused however many sign, without looking at signatures', () => {
    const found = assessArtifact(
      { digests: DIGESTS, envelopes: [{ format: 'dsse', bytes: utf8('junk') }] },
      trustOf({ signers: [good], deny: [`sha256:${SHA256}`] }),
      CLOCK,
    );
    expect(found.rejected.map((refusal) => refusal.check)).toEqual(['artifact-denied']);
  });
});
