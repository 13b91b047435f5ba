import { describe, expect, it } from 'vitest';
import {
  akProfile,
  codeSigningProfile,
  der,
  extension,
  generalName,
  issueCertificate,
  OID,
  parseCertificate,
  parseSpiffeId,
  subjectNames,
  svidProfile,
  tlsClientProfile,
  tlsServerProfile,
  verifyPath,
} from '../../src/x509/index.ts';
import type { CertificatePurpose, ExtensionInput, KeyUsage, LeafProfile } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, certificate, key, root } from './support.ts';

const ID = 'spiffe://example.org/host/1';

/** Every profile with a certificate that is made for it. */
const PROFILES: Readonly<Record<string, { purpose: CertificatePurpose; profile: LeafProfile<unknown> }>> = {
  ak: { purpose: { kind: 'ak' }, profile: akProfile() },
  'code signing': { purpose: { kind: 'code-signing' }, profile: codeSigningProfile },
  'TLS server': { purpose: { kind: 'tls-server', dns: ['a.example'] }, profile: tlsServerProfile },
  'TLS client': { purpose: { kind: 'tls-client' }, profile: tlsClientProfile },
  'X509-SVID': { purpose: { kind: 'x509-svid', id: ID }, profile: svidProfile('example.org') },
};

const issue = (purpose: CertificatePurpose) =>
  parseCertificate(
    issueCertificate({
      notBefore: Date.UTC(2026, 0, 1),
      notAfter: Date.UTC(2027, 0, 1),
      subject: { commonName: 'leaf' },
      publicKey: key('leaf').publicKey,
      issuer: { certificate: root().raw, key: key('root').privateKey },
      serial: new Uint8Array([7]),
      purpose,
    }),
  );

const verify = (leaf: ReturnType<typeof issue>, profile: LeafProfile<unknown>) =>
  verifyPath({ leaf, anchors: [root()], now: NOW, profile });

describe.each(Object.entries(PROFILES))('%s', (name, { purpose, profile }) => {
  it('accepts its own certificates', () => {
    expect(verify(issue(purpose), profile).chain).toHaveLength(2);
  });

  it('refuses those of the other purposes', () => {
    for (const [other, { purpose: wrong }] of Object.entries(PROFILES)) {
      // An X509-SVID is a TLS server and client certificate as well.
      if (other === name || (other === 'X509-SVID' && name.startsWith('TLS'))) continue;
      expectRefusal('x509-purpose', () => verify(issue(wrong), profile));
    }
    expectRefusal('x509-leaf-is-ca', () => verify(issue({ kind: 'ca' }), profile));
  });
});

const leaf = (
  usages: readonly KeyUsage[],
  purposes: readonly string[],
  more: readonly ExtensionInput[] = [],
) =>
  certificate({ extensions: [extension.keyUsage(...usages), extension.extKeyUsage(...purposes), ...more] });

describe('signers', () => {
  it('need digitalSignature and may not be able to issue', () => {
    for (const usages of [
      ['keyEncipherment'],
      ['digitalSignature', 'keyCertSign'],
      ['digitalSignature', 'cRLSign'],
    ] as const) {
      expectRefusal('x509-key-usage', () => verify(leaf(usages, [OID.codeSigning]), codeSigningProfile));
    }
    const silent = certificate({ extensions: [extension.extKeyUsage(OID.codeSigning)] });
    expectRefusal('x509-key-usage', () => verify(silent, codeSigningProfile));
  });

  it('AK: may not decrypt', () => {
    expectRefusal('x509-key-usage', () =>
      verify(leaf(['digitalSignature', 'keyAgreement'], [OID.tcgAkCertificate]), akProfile()),
    );
  });

  it('names: alternative names only, by type', () => {
    const names = [
      generalName.dns('a.example'),
      generalName.ip('10.0.0.1'),
      generalName.uri('https://a.example/'),
    ];
    const signer = leaf(['digitalSignature'], [OID.serverAuth], [extension.subjectAltName(false, ...names)]);
    expect(subjectNames(signer)).toEqual({
      dns: ['a.example'],
      ip: ['10.0.0.1'],
      uris: ['https://a.example/'],
    });
    expect(subjectNames(leaf(['digitalSignature'], [OID.serverAuth]))).toEqual({ dns: [], ip: [], uris: [] });
  });
});

describe('X509-SVID', () => {
  const both = [OID.serverAuth, OID.clientAuth];
  const uris = (...ids: string[]) => extension.subjectAltName(true, ...ids.map(generalName.uri));
  const profile = svidProfile('example.org');

  it('gives the parsed SPIFFE ID', () => {
    expect(verify(issue({ kind: 'x509-svid', id: ID }), profile).findings).toEqual({
      text: ID,
      trustDomain: 'example.org',
      path: '/host/1',
    });
  });

  it('exactly one URI', () => {
    expectRefusal('svid-uri', () => verify(leaf(['digitalSignature'], both, [uris(ID, ID)]), profile));
    expectRefusal('svid-uri', () => verify(leaf(['digitalSignature'], both), profile));
    const dnsOnly = extension.subjectAltName(false, generalName.dns('a.example'));
    expectRefusal('svid-uri', () => verify(leaf(['digitalSignature'], both, [dnsOnly]), profile));
  });

  it('both purposes, whatever the order', () => {
    expectRefusal('x509-purpose', () =>
      verify(leaf(['digitalSignature'], [OID.serverAuth], [uris(ID)]), profile),
    );
    expect(verify(leaf(['digitalSignature'], [...both].reverse(), [uris(ID)]), profile).leaf).toBeDefined();
  });

  it('critical key usage, critical name where the subject is empty', () => {
    const usage = { ...extension.keyUsage('digitalSignature'), critical: false };
    const loose = certificate({ extensions: [usage, extension.extKeyUsage(...both), uris(ID)] });
    expectRefusal('x509-key-usage', () => verify(loose, profile));
    const nameless = certificate({
      subject: '',
      key: 'leaf',
      extensions: [
        extension.keyUsage('digitalSignature'),
        extension.extKeyUsage(...both),
        { ...uris(ID), critical: false },
      ],
    });
    expectRefusal('x509-san-critical', () => verify(nameless, profile));
  });

  it('only of the trust domain whose anchors these are', () => {
    const foreign = leaf(['digitalSignature'], both, [uris('spiffe://other.example/host/1')]);
    expectRefusal('svid-trust-domain', () => verify(foreign, profile));
    expectRefusal('spiffe-id', () =>
      verify(leaf(['digitalSignature'], both, [uris('https://example.org/x')]), profile),
    );
  });
});

describe('parseSpiffeId', () => {
  it.each(['spiffe://example.org', 'spiffe://a_b-c.9/x/Y_.-/z', `spiffe://e/${'a'.repeat(2037)}`])(
    '%.60s is one',
    (id) => {
      expect(parseSpiffeId(id).text).toBe(id);
    },
  );
  it.each([
    '',
    'spiffe://',
    'SPIFFE://example.org',
    'spiffe://Example.org',
    'spiffe://example.org/',
    'spiffe://example.org//x',
    'spiffe://example.org/./x',
    'spiffe://example.org/../x',
    'spiffe://example.org/%41',
    'spiffe://example.org:80/x',
    'spiffe://u@example.org/x',
    'spiffe://example.org/x?y',
    'spiffe://example.org/x#y',
    'spiffe://example.org/x\n',
    `spiffe://e/${'a'.repeat(2038)}`,
    `spiffe://${'e'.repeat(256)}/a`,
  ])('%.60j is none', (id) => {
    expectRefusal('spiffe-id', () => parseSpiffeId(id));
  });
});

it('purposes in a wrong form: an empty list is malformed, never "any"', () => {
  const empty = { oid: OID.extKeyUsage, value: der.sequence() };
  expectRefusal('malformed', () =>
    certificate({ extensions: [extension.keyUsage('digitalSignature'), empty] }),
  );
});
