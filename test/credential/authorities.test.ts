import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/base/index.ts';
import {
  MAX_STORED,
  decryptStored,
  encryptStored,
  hostSpiffeId,
  issueSvid,
} from '../../src/credential/index.ts';
import type { SigningAuthority, StoredPlace } from '../../src/credential/index.ts';
import {
  issueCertificate,
  parseCertificate,
  parseSpiffeId,
  randomSerial,
  svidProfile,
  verifyPath,
} from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';

const NOW = Date.UTC(2027, 0, 15, 8);
const HOUR = 3_600_000;

describe('the SPIFFE id of a host', () => {
  it('names it in the trust domain, and refuses what would be another path', () => {
    expect(hostSpiffeId('example.org', 'ab12')).toBe('spiffe://example.org/host/ab12');
    for (const id of ['..', '', 'a b']) expectRefusal('spiffe-id', () => hostSpiffeId('example.org', id));
    expectRefusal('spiffe-id', () => hostSpiffeId('Example.org', 'ab12'));
  });
});

function authority(): SigningAuthority & { readonly root: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const root = issueCertificate({
    subject: { commonName: 'SVID CA' },
    publicKey,
    issuer: { key: privateKey },
    serial: randomSerial(systemRandom),
    notBefore: NOW - HOUR,
    notAfter: NOW + HOUR,
    purpose: { kind: 'ca', pathLength: 0 },
  });
  return { certificate: root, key: privateKey, chain: [], root };
}

describe('X509-SVIDs', () => {
  const workload = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const order = {
    id: parseSpiffeId('spiffe://example.org/run/report'),
    publicKey: workload.publicKey,
    notBefore: NOW,
    notAfter: NOW + 300_000,
  };

  it('verify under the SPIFFE profile of their own domain only', () => {
    const ca = authority();
    const { chain, expires, serial } = issueSvid(order, ca, systemRandom);
    const leaf = parseCertificate(chain[0]!);
    expect(expires).toBe(order.notAfter);
    expect(leaf.serial).toBe(serial);
    const question = { leaf, anchors: [parseCertificate(ca.root)], now: NOW };
    expect(verifyPath({ ...question, profile: svidProfile('example.org') }).findings.path).toBe(
      '/run/report',
    );
    expectRefusal('svid-trust-domain', () =>
      verifyPath({ ...question, profile: svidProfile('other.example') }),
    );
    expectRefusal('x509-expired', () =>
      verifyPath({ ...question, now: order.notAfter + 1000, profile: svidProfile('example.org') }),
    );
  });

  it('never outlive their authority, nor end before they begin', () => {
    const ca = authority();
    for (const wrong of [
      { notAfter: NOW + 2 * HOUR },
      { notAfter: NOW },
      { notBefore: NOW - 2 * HOUR, notAfter: NOW },
    ]) {
      expectRefusal('credential-authority', () => issueSvid({ ...order, ...wrong }, ca, systemRandom));
    }
  });
});

describe('stored values', () => {
  const master = new Uint8Array(32).fill(3);
  const place: StoredPlace = { purpose: 'secret', table: 'secrets', id: 'db-password', version: 2 };
  const value = utf8('hunter2');

  it('come back at their place, and look different each time', () => {
    const stored = encryptStored(master, place, value, systemRandom);
    expect(decryptStored(master, place, stored)).toEqual(value);
    expect(toHex(encryptStored(master, place, value, systemRandom))).not.toBe(toHex(stored));
    expect(toHex(stored)).not.toContain(toHex(value));
  });

  it.each([
    ['purpose', { purpose: 'key' }],
    ['table', { table: 'keys' }],
    ['id', { id: 'other' }],
    ['version', { version: 1 }],
    // Lengths are part of it: nothing can move from one member to the next.
    ['boundary', { purpose: 'secrets', table: 'ecrets' }],
  ])('don’t decrypt at a place of another %s', (_, other) => {
    const stored = encryptStored(master, place, value, systemRandom);
    expectRefusal('stored-secret', () => decryptStored(master, { ...place, ...other }, stored));
  });

  it('don’t decrypt under another key, or with any byte changed', () => {
    const stored = encryptStored(master, place, value, systemRandom);
    expectRefusal('stored-secret', () => decryptStored(new Uint8Array(32), place, stored));
    for (let at = 0; at < stored.length; at++) {
      const changed = stored.slice();
      changed[at]! ^= 1;
      expectRefusal('stored-secret', () => decryptStored(master, place, changed));
    }
  });

  it('have bounds', () => {
    expectRefusal('malformed', () => decryptStored(master, place, fromHex('00'.repeat(27))));
    expectRefusal('malformed', () => decryptStored(master, place, new Uint8Array(MAX_STORED + 29)));
    expect(() => encryptStored(master, place, new Uint8Array(MAX_STORED + 1), systemRandom)).toThrow(
      RangeError,
    );
    expect(() => encryptStored(new Uint8Array(16), place, value, systemRandom)).toThrow(RangeError);
  });
});
