import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/base/index.ts';
import { canonicalJson, toBase64url } from '../../src/base/index.ts';
import {
  encodeOffer,
  enrollmentDigest,
  enrollmentQualifyingData,
  parseEnrollmentRequest,
  parseOffer,
} from '../../src/enrollment/index.ts';
import { parseActivation } from '../../src/enrollment/request.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, SELECTION } from './desk.ts';
import { SoftwareHost, ekFactory } from './software-host.ts';

const request = new SoftwareHost(ekFactory(NOW), NOW).request();
const secret = toBase64url(new Uint8Array(32));
const activation: JsonObject = {
  secret,
  attest: 'AAAA',
  signature: 'AAAA',
  pcrs: { sha256: { 0: '00'.repeat(32) } },
};

describe('an enrollment request', () => {
  it('is what docs/PROTOCOL.md has', () => {
    expect(parseEnrollmentRequest(request)).toEqual(request);
    expect(parseEnrollmentRequest({ ...request, token: secret, ekChain: ['AAAA'] }).token).toBe(secret);
  });

  it.each([
    ['an unknown member', { state: 'active' }],
    ['the platform as its own claim', { platform: 'server' }],
    ['another version', { v: 2 }],
    ['a name with ANSI', { name: 'a\u001b[31m' }],
    ['a name with NUL', { name: 'a\0b' }],
    ['a name with path segments', { name: 'a/../b' }],
    ['a name in capitals', { name: 'Host' }],
    ['a token of another length', { token: 'abc' }],
    ['a token that is no text', { token: 5 }],
    ['a certificate over the limit', { ekCertificate: 'A'.repeat(22_000) }],
    ['too many certificates', { ekChain: Array.from({ length: 7 }, () => 'AAAA') }],
    ['a public area over the limit', { ekPublic: 'A'.repeat(5600) }],
    ['padding', { akPublic: 'AA==' }],
  ])('with %s is refused', (_, change) => {
    expectRefusal('enroll-form', () => parseEnrollmentRequest({ ...request, ...change }));
  });

  it.each(Object.keys(request).filter((member) => member !== 'ekCertificate'))(
    'without %s is refused',
    (member) => {
      const rest = Object.fromEntries(Object.entries(request).filter(([name]) => name !== member));
      expectRefusal('enroll-form', () => parseEnrollmentRequest(rest));
    },
  );

  it('is bound by label, nonce and digest, computed here by hand', () => {
    const digest = createHash('sha256').update(canonicalJson(request)).digest();
    expect(Buffer.from(enrollmentDigest(parseEnrollmentRequest(request)))).toEqual(digest);
    const nonce = new Uint8Array(32).fill(3);
    const expected = createHash('sha256')
      .update('sealgate/enrollment/v1\0')
      .update(nonce)
      .update(digest)
      .digest();
    expect(Buffer.from(enrollmentQualifyingData(nonce, digest))).toEqual(expected);
  });
});

describe('an activation', () => {
  it('is decoded', () => {
    const { pcrs } = parseActivation(activation);
    expect(pcrs.get('sha256')?.get(0)).toEqual(new Uint8Array(32));
  });

  it.each([
    ['an unknown member', { more: 1 }],
    ['a short secret', { secret: 'AAAA' }],
    ['an unknown bank', { pcrs: { md5: {} } }],
    ['PCR 24', { pcrs: { sha256: { 24: '00'.repeat(32) } } }],
    ['an index with a zero before it', { pcrs: { sha256: { '00': '00'.repeat(32) } } }],
    ['a value that is no hex', { pcrs: { sha256: { 0: 'zz'.repeat(32) } } }],
    ['no quote', { attest: '' }],
  ])('with %s is refused', (_, change) => {
    expectRefusal('enroll-form', () => parseActivation({ ...activation, ...change }));
  });

  it('with bits that base64url drops is refused', () => {
    expectRefusal('malformed', () => parseActivation({ ...activation, attest: 'AB' }));
  });
});

describe('an offer', () => {
  const offer = {
    enrollmentId: '6f2c1e0a-1111-4222-8333-444455556666',
    hostId: 'a'.repeat(64),
    credential: { credentialBlob: new Uint8Array(52), encryptedSecret: new Uint8Array(68) },
    nonce: new Uint8Array(32),
    selection: SELECTION,
    expires: NOW,
  };

  it('comes back as it went', () => {
    expect(parseOffer(encodeOffer(offer))).toEqual(offer);
  });

  it.each([
    ['another member', { more: 1 }],
    ['no UUID', { enrollmentId: '../x' }],
    ['a time that is none', { expiresAt: '2027-99-99T00:00:00.000Z' }],
  ])('with %s is refused', (_, change) => {
    expectRefusal('enroll-form', () => parseOffer({ ...encodeOffer(offer), ...change }));
  });

  it('whose TPM2B has trailing bytes is refused', () => {
    const credentialBlob = toBase64url(Uint8Array.of(0, 1, 7, 7));
    expectRefusal('malformed', () => parseOffer({ ...encodeOffer(offer), credentialBlob }));
  });
});
