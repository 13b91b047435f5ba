import { createPrivateKey, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { assessArtifact, parsePrivateKey, signCms, verifyArtifact } from '../../src/artifact/index.ts';
import type { ArtifactTrust, SigningKey } from '../../src/artifact/index.ts';
import { Refusal, concat, fromHex, toHex, utf8 } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { OID, der, issueCertificate, parseCertificate, parsePem, toPem } from '../../src/x509/index.ts';
import type { CertificateOrder } from '../../src/x509/index.ts';
import { CONTENT, DIGESTS, makeKeys, read, readText, signer, tool, trustOf } from '../support/artifact.ts';
import { expectRefusal } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const directory = temporaryDirectory();
const at = (file: string) => path.join(directory, file);
const keys = makeKeys();
/** openssl signs with the machine's clock; a minute later, so that all certificates are valid. */
const NOW = Math.floor(new Date().getTime() / 1000) * 1000 + 60_000;
const DAY = 86_400_000;

const input = (bytes: Uint8Array, digests: typeof DIGESTS | { sha256: Uint8Array } = DIGESTS) => ({
  digests,
  envelopes: [{ format: 'cms', bytes } as const],
});
const verify = (bytes: Uint8Array, trust: ArtifactTrust, now = NOW) =>
  verifyArtifact(input(bytes), trust, { now: () => now });

describe('openssl cms -sign', () => {
  beforeAll(() => {
    writeFileSync(at('artifact'), CONTENT);
    const openssl = (...args: string[]) => tool(directory, 'openssl', args);
    const newKey = (name: string, ...args: string[]) => openssl('genpkey', ...args, '-out', `${name}.key`);
    for (const name of ['root', 'middle', 'ec', 'ec2'])
      newKey(name, '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256');
    newKey('rsa', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
    newKey('pss', '-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048');
    openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      'root.key',
      '-subj',
      '/CN=root',
      '-days',
      '2',
      '-out',
      'root.crt',
    );
    const issue = (name: string, issuer: string, extensions: string) => {
      writeFileSync(at('ext'), extensions);
      openssl('req', '-new', '-key', `${name}.key`, '-subj', `/O=Acme/CN=${name}`, '-out', 'csr');
      openssl(
        'x509',
        '-req',
        '-in',
        'csr',
        '-CA',
        `${issuer}.crt`,
        '-CAkey',
        `${issuer}.key`,
        '-days',
        '2',
        '-extfile',
        'ext',
        '-out',
        `${name}.crt`,
      );
      openssl('pkey', '-in', `${name}.key`, '-pubout', '-out', `${name}.pub`);
    };
    issue('middle', 'root', 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n');
    for (const name of ['ec', 'ec2', 'rsa', 'pss'])
      issue(name, 'middle', 'keyUsage=digitalSignature\nextendedKeyUsage=codeSigning\n');
  });

  const signWith = (name: string, ...more: string[]): Uint8Array => {
    const who = ['-signer', `${name}.crt`, '-inkey', `${name}.key`, '-certfile', 'middle.crt'];
    tool(directory, 'openssl', [
      'cms',
      '-sign',
      '-binary',
      '-in',
      'artifact',
      ...who,
      '-outform',
      'DER',
      '-out',
      'out.p7s',
      ...more,
    ]);
    return read(directory, 'out.p7s');
  };
  const byRoot = (more: JsonObject = {}) =>
    trustOf({
      roots: [{ name: 'acme', certificate: readText(directory, 'root.crt'), ...more }],
      names: ['tool'],
    });
  const byKey = (name: string, algorithm: string, more: JsonObject = {}) =>
    trustOf({
      signers: [{ name, key: readText(directory, `${name}.pub`), algorithm, ...more }],
      names: ['tool'],
    });
  const PSS = ['-keyopt', 'rsa_padding_mode:pss'];

  it.each<[string, string, string, string[]]>([
    ['ECDSA', 'ec', 'ecdsa-p256', []],
    ['ECDSA with SHA-512', 'ec', 'ecdsa-p256', ['-md', 'sha512']],
    ['RSA PKCS #1', 'rsa', 'rsa-pkcs1', ['-md', 'sha384']],
    ['RSASSA-PSS', 'rsa', 'rsa-pss', PSS],
    [
      'RSASSA-PSS with a salt like the digest',
      'rsa',
      'rsa-pss',
      [...PSS, '-keyopt', 'rsa_pss_saltlen:digest'],
    ],
    ['an RSA-PSS key', 'pss', 'rsa-pss', PSS],
    ['a subject key identifier', 'ec', 'ecdsa-p256', ['-keyid']],
    ['no S/MIME capabilities', 'ec', 'ecdsa-p256', ['-nosmimecap']],
    ['a signing-certificate attribute', 'ec', 'ecdsa-p256', ['-cades']],
    ['PEM', 'rsa', 'rsa-pss', [...PSS, '-outform', 'PEM']],
  ])('verifies with %s, by key and by root', (_name, key, algorithm, options) => {
    const signature = signWith(key, ...options);
    const byListed = verify(signature, byKey(key, algorithm));
    expect(byListed).toMatchObject({ name: 'tool', signers: [{ format: 'cms', name: 'tool' }] });
    expect(verify(signature, byRoot()).signers).toEqual(byListed.signers);
  });

  it('verifies without certificates by key only', () => {
    const signature = signWith('ec', '-nocerts');
    expect(verify(signature, byKey('ec', 'ecdsa-p256')).signers).toHaveLength(1);
    expectRefusal('cms-certificate', () => verify(signature, byRoot()));
  });

  it('takes the algorithm from the trust document', () => {
    expectRefusal('artifact-signature', () => verify(signWith('rsa'), byKey('rsa', 'rsa-pss')));
    expectRefusal('artifact-signature', () => verify(signWith('rsa', ...PSS), byKey('rsa', 'rsa-pkcs1')));
    expectRefusal('artifact-algorithm', () =>
      verify(signWith('rsa'), byRoot({ algorithms: ['rsa-pss', 'ecdsa-p256'] })),
    );
    expectRefusal('artifact-algorithm', () =>
      verify(signWith('ec', '-md', 'sha512'), byRoot({ hashes: ['sha256'] })),
    );
    expectRefusal('artifact-algorithm', () => verify(signWith('rsa', '-md', 'sha1'), byRoot()));
  });

  it('as many signers in one file as have to sign, no more', () => {
    const two = signWith('ec', '-signer', 'ec2.crt', '-inkey', 'ec2.key');
    expectRefusal('cms-signer-count', () => verify(two, byRoot()));
    const both = trustOf({
      roots: [{ name: 'acme', certificate: readText(directory, 'root.crt') }],
      threshold: 2,
    });
    expect(verify(two, both).threshold).toEqual({ need: 2, have: 2 });
    expectRefusal('artifact-threshold', () => verify(signWith('ec'), both));
  });

  it.each<[string, string, string[]]>([
    ['attached content', 'cms-attached', ['-nodetach']],
    ['no signed attributes', 'cms-signed-attributes', ['-noattr']],
    ['indefinite lengths', 'malformed', ['-stream']],
  ])('refuses %s', (_name, check, options) => {
    expectRefusal(check, () => verify(signWith('ec', ...options), byRoot()));
  });

  it('refuses text mode, in which openssl signs other bytes than the file’s', () => {
    const who = ['-signer', 'ec.crt', '-inkey', 'ec.key'];
    tool(directory, 'openssl', [
      'cms',
      '-sign',
      '-in',
      'artifact',
      ...who,
      '-outform',
      'DER',
      '-out',
      'text.p7s',
    ]);
    expectRefusal('cms-message-digest', () => verify(read(directory, 'text.p7s'), byKey('ec', 'ecdsa-p256')));
  });

  it('judges the chain: time, subject, intermediate', () => {
    const signature = signWith('ec');
    expectRefusal('x509-expired', () => verify(signature, byRoot(), NOW + 3 * DAY));
    expect(
      verify(
        signature,
        byRoot({ subjects: [parseCertificate(parsePem(read(directory, 'ec.crt'))[0]!).subject.text] }),
      ).signers,
    ).toHaveLength(1);
    expectRefusal('cms-subject', () => verify(signature, byRoot({ subjects: ['CN=somebody'] })));
    tool(directory, 'openssl', [
      'cms',
      '-sign',
      '-binary',
      '-in',
      'artifact',
      '-signer',
      'ec.crt',
      '-inkey',
      'ec.key',
      '-outform',
      'DER',
      '-out',
      'short.p7s',
    ]);
    expectRefusal('x509-untrusted', () => verify(read(directory, 'short.p7s'), byRoot()));
  });

  it('who knows only the SHA-256 digest refuses other hashes', () => {
    const { sha256 } = DIGESTS;
    const check = (bytes: Uint8Array) =>
      verifyArtifact(input(bytes, { sha256 }), byRoot(), { now: () => NOW });
    expect(check(signWith('ec')).signers).toHaveLength(1);
    expectRefusal('artifact-hash', () => check(signWith('ec', '-md', 'sha512')));
  });

  it('every truncation is refused, and every byte that a digest covers', () => {
    const signature = signWith('ec');
    const trust = byKey('ec', 'ecdsa-p256');
    for (let length = 0; length < signature.length; length++) {
      expect(() => verify(signature.slice(0, length), trust)).toThrow(Refusal);
    }
    expectRefusal('malformed', () => verify(concat([signature, new Uint8Array(1)]), trust));
    const certificates = Buffer.from(signature).indexOf(Buffer.from(parsePem(read(directory, 'ec.crt'))[0]!));
    const info = signature.length - 380;
    expect(info).toBeGreaterThan(certificates);
    for (let i = info; i < signature.length; i++) {
      const changed = signature.slice();
      changed[i] = (changed[i] ?? 0) ^ 1;
      const found = assessArtifact(input(changed), trust, { now: () => NOW });
      // The signer's identifier is a hint when the key is listed; nothing else may change.
      if (found.refusal === undefined) expect(found.signers).toEqual(verify(signature, trust).signers);
    }
  });

  describe('what we write', () => {
    it.each(['ec', 'rsa', 'pss'])('openssl cms -verify accepts: %s', (name) => {
      const key = parsePrivateKey(read(directory, `${name}.key`));
      const certificates = [`${name}.crt`, 'middle.crt'].map((file) => parsePem(read(directory, file))[0]!);
      const ours = signCms({ sha256: DIGESTS.sha256, key, certificates, signingTime: NOW });
      writeFileSync(at('ours.p7s'), ours);
      const args = [
        'cms',
        '-verify',
        '-binary',
        '-inform',
        'DER',
        '-in',
        'ours.p7s',
        '-CAfile',
        'root.crt',
        '-purpose',
        'any',
        '-out',
        'verified',
      ];
      tool(directory, 'openssl', [...args, '-content', 'artifact']);
      expect(read(directory, 'verified')).toEqual(CONTENT);
      writeFileSync(at('other'), 'other');
      expect(() => tool(directory, 'openssl', [...args, '-content', 'other'])).toThrow();
      expect(verify(ours, byRoot()).signers).toHaveLength(1);
      expect(toHex(ours)).toBe(toHex(reencoded(directory, 'ours.p7s')));
    });

    it('needs a certificate of the key, and no Ed25519', () => {
      const key = parsePrivateKey(read(directory, 'ec.key'));
      const other = parsePem(read(directory, 'ec2.crt'));
      const order = { sha256: DIGESTS.sha256, signingTime: NOW };
      expectRefusal('cms-certificate', () => signCms({ ...order, key, certificates: [] }));
      expectRefusal('cms-certificate', () => signCms({ ...order, key, certificates: other }));
      expectRefusal('artifact-key', () => signCms({ ...order, key: keys.ed, certificates: other }));
    });
  });
});

/** What openssl writes when it has read the file: the same bytes only if ours was DER. */
function reencoded(where: string, file: string): Uint8Array {
  tool(where, 'openssl', [
    'cms',
    '-cmsout',
    '-inform',
    'DER',
    '-in',
    file,
    '-outform',
    'DER',
    '-out',
    'again.p7s',
  ]);
  return read(where, 'again.p7s');
}

describe('certificates under a root', () => {
  const issue = (
    order: Partial<CertificateOrder> & Pick<CertificateOrder, 'publicKey' | 'issuer' | 'purpose'>,
  ) =>
    issueCertificate({
      subject: { commonName: 'x' },
      serial: new Uint8Array([7]),
      notBefore: NOW - DAY,
      notAfter: NOW + DAY,
      ...order,
    });
  const caKey = keys.ec2.privateKey;
  const root = issue({
    subject: { commonName: 'root' },
    publicKey: keys.ec2.publicKey.key,
    issuer: { key: caKey },
    purpose: { kind: 'ca' },
  });
  const leaf = (change: Partial<CertificateOrder>, key = keys.ec) =>
    issue({
      publicKey: key.publicKey.key,
      issuer: { certificate: root, key: caKey },
      purpose: { kind: 'code-signing' },
      ...change,
    });
  const signed = (certificate: Uint8Array, key: SigningKey = keys.ec, others: Uint8Array[] = []) =>
    signCms({ sha256: DIGESTS.sha256, key, certificates: [certificate, ...others], signingTime: NOW });
  const trust = trustOf({ roots: [{ name: 'root', certificate: toPem(root) }] });

  it('accepts a code-signing certificate', () => {
    expect(verify(signed(leaf({})), trust).signers).toHaveLength(1);
    expect(verify(signed(leaf({}, keys.rsa), keys.rsa), trust).signers).toHaveLength(1);
  });

  it.each<[string, string, () => Uint8Array]>([
    ['no code-signing purpose', 'x509-purpose', () => signed(leaf({ purpose: { kind: 'tls-client' } }))],
    ['an expired certificate', 'x509-expired', () => signed(leaf({ notAfter: NOW - 2000 }))],
    ['one that is not valid yet', 'x509-not-yet-valid', () => signed(leaf({ notBefore: NOW + 2000 }))],
    ['a CA as signer', 'x509-leaf-is-ca', () => signed(leaf({ purpose: { kind: 'ca' } }))],
    ['the root itself as signer', 'x509-leaf-is-anchor', () => signed(root, keys.ec2)],
    [
      'a self-signed certificate',
      'x509-self-signed',
      () =>
        signed(
          issue({
            publicKey: keys.ec.publicKey.key,
            issuer: { key: keys.ec.privateKey },
            purpose: { kind: 'code-signing' },
          }),
        ),
    ],
    [
      'an issuer that is no CA',
      'x509-not-ca',
      () => {
        const middle = leaf({ subject: { commonName: 'middle' } }, keys.rsa);
        return signed(
          issue({
            publicKey: keys.ec.publicKey.key,
            issuer: { certificate: middle, key: keys.rsa.privateKey },
            purpose: { kind: 'code-signing' },
          }),
          keys.ec,
          [middle],
        );
      },
    ],
  ])('refuses %s', (_name, check, make) => {
    expectRefusal(check, () => verify(make(), trust));
  });

  it('several roots: the one that fits decides, and says why not', () => {
    const stranger = issue({
      subject: { commonName: 'other' },
      publicKey: keys.rsa.publicKey.key,
      issuer: { key: keys.rsa.privateKey },
      purpose: { kind: 'ca' },
    });
    const roots = [
      { name: 'a', certificate: toPem(stranger) },
      { name: 'b', certificate: toPem(root) },
    ];
    expect(verify(signed(leaf({})), trustOf({ roots })).signers).toHaveLength(1);
    expectRefusal('x509-expired', () => verify(signed(leaf({ notAfter: NOW - 2000 })), trustOf({ roots })));
  });

  it('another key than the certificate’s', () => {
    const honest = signed(leaf({}));
    const forged = handmade({ certificates: [leaf({})], key: keys.rsa });
    expect(verify(honest, trust).signers).toHaveLength(1);
    expectRefusal('artifact-signature', () => verify(forged, trust));
  });
});

const attribute = (oid: string, ...values: Uint8Array[]) => der.sequence(der.oid(oid), der.setOf(...values));
const CONTENT_TYPE = attribute('1.2.840.113549.1.9.3', der.oid('1.2.840.113549.1.7.1'));
const MESSAGE_DIGEST = attribute('1.2.840.113549.1.9.4', der.octetString(DIGESTS.sha256));
const SHA256 = der.sequence(der.oid(OID.sha256));
const time = (value: Uint8Array) => attribute('1.2.840.113549.1.9.5', value);

interface Handmade {
  outer?: string;
  version?: number;
  signerVersion?: number;
  digests?: Uint8Array[];
  inner?: string;
  certificates?: Uint8Array[];
  afterCertificates?: Uint8Array;
  digest?: Uint8Array;
  attributes?: Uint8Array[];
  sorted?: boolean;
  algorithm?: Uint8Array;
  afterSignature?: Uint8Array;
  key?: SigningKey;
}

/** A SignedData by hand: every field is free, and the signature is good for what is written. */
function handmade(change: Handmade): Uint8Array {
  const { key = keys.ec, attributes = [CONTENT_TYPE, MESSAGE_DIGEST], certificates = [] } = change;
  const content =
    change.sorted === false
      ? concat(attributes)
      : concat(attributes.toSorted((a, b) => Buffer.compare(a, b)));
  const signature = sign(
    'sha256',
    der.tlv(0x31, content),
    createPrivateKey(key.privateKey.export({ type: 'pkcs8', format: 'pem' })),
  );
  const none = new Uint8Array();
  const issuer =
    certificates[0] === undefined ? der.sequence() : parseCertificate(certificates[0]).issuer.raw;
  const info = der.sequence(
    der.smallInteger(change.signerVersion ?? 1),
    der.sequence(issuer, der.smallInteger(7)),
    change.digest ?? SHA256,
    der.tlv(0xa0, content),
    change.algorithm ?? der.sequence(der.oid(key === keys.rsa ? OID.sha256WithRsa : OID.ecdsaWithSha256)),
    der.octetString(new Uint8Array(signature)),
    change.afterSignature ?? none,
  );
  const signedData = der.sequence(
    der.smallInteger(change.version ?? 1),
    der.setOf(...(change.digests ?? [SHA256])),
    der.sequence(der.oid(change.inner ?? '1.2.840.113549.1.7.1')),
    certificates.length === 0 ? none : der.context(0, ...certificates),
    change.afterCertificates ?? none,
    der.setOf(info),
  );
  return der.sequence(der.oid(change.outer ?? '1.2.840.113549.1.7.2'), der.context(0, signedData));
}

describe('refusals of form', () => {
  const trust = trustOf({ signers: [signer(keys.ec)] });
  const pss = (hash: string, mask: string, salt: number) => {
    const id = (oid: string) => der.sequence(der.oid(oid));
    const mgf = der.sequence(der.oid(OID.mgf1), id(mask));
    return der.sequence(
      der.oid(OID.rsassaPss),
      der.sequence(der.context(0, id(hash)), der.context(1, mgf), der.context(2, der.smallInteger(salt))),
    );
  };
  const sha1 = '1.3.14.3.2.26';

  it('the handmade file is a good one, so that each change is what is refused', () => {
    expect(verify(handmade({}), trust).signers).toHaveLength(1);
    const full = [
      CONTENT_TYPE,
      MESSAGE_DIGEST,
      time(der.time(NOW)),
      attribute('1.2.3', der.null(), der.null()),
    ];
    expect(verify(handmade({ attributes: full }), trust).signers).toHaveLength(1);
  });

  it.each<[string, string, Handmade]>([
    ['another content type outside', 'cms-form', { outer: '1.2.840.113549.1.7.1' }],
    ['another content type inside', 'cms-form', { inner: '1.2.840.113549.1.7.2' }],
    ['a version that does not fit', 'cms-form', { version: 3 }],
    ['a signer version that does not fit', 'cms-form', { signerVersion: 3 }],
    ['a digest algorithm that was not announced', 'cms-form', { digests: [] }],
    ['SHA-1 announced', 'artifact-algorithm', { digests: [der.sequence(der.oid(sha1)), SHA256] }],
    ['too many digest algorithms', 'malformed', { digests: Array.from({ length: 9 }, () => SHA256) }],
    ['revocation lists', 'cms-form', { afterCertificates: der.context(1, der.sequence()) }],
    ['unsigned attributes', 'cms-form', { afterSignature: der.context(1, CONTENT_TYPE) }],
    ['no content type', 'cms-signed-attributes', { attributes: [MESSAGE_DIGEST] }],
    ['no message digest', 'cms-signed-attributes', { attributes: [CONTENT_TYPE] }],
    [
      'a message digest of another kind',
      'cms-signed-attributes',
      { attributes: [CONTENT_TYPE, attribute('1.2.840.113549.1.9.4', der.null())] },
    ],
    [
      'another content type signed',
      'cms-signed-attributes',
      { attributes: [attribute('1.2.840.113549.1.9.3', der.oid('1.2.3')), MESSAGE_DIGEST] },
    ],
    [
      'a content type of another kind',
      'cms-signed-attributes',
      { attributes: [attribute('1.2.840.113549.1.9.3', der.null()), MESSAGE_DIGEST] },
    ],
    [
      'two message digests',
      'cms-signed-attributes',
      {
        attributes: [
          CONTENT_TYPE,
          attribute(
            '1.2.840.113549.1.9.4',
            der.octetString(DIGESTS.sha256),
            der.octetString(new Uint8Array(32)),
          ),
        ],
      },
    ],
    [
      'an attribute twice',
      'cms-signed-attributes',
      {
        attributes: [
          CONTENT_TYPE,
          MESSAGE_DIGEST,
          attribute('1.2.840.113549.1.9.4', der.octetString(new Uint8Array(32))),
        ],
      },
    ],
    [
      'attributes in another order than DER’s',
      'malformed',
      { attributes: [MESSAGE_DIGEST, CONTENT_TYPE], sorted: false },
    ],
    [
      'an attribute without value',
      'malformed',
      { attributes: [CONTENT_TYPE, MESSAGE_DIGEST, attribute('1.2.3')] },
    ],
    [
      'too many attributes',
      'malformed',
      {
        attributes: [
          CONTENT_TYPE,
          MESSAGE_DIGEST,
          ...Array.from({ length: 31 }, (_, i) => attribute(`1.2.${String(i)}`, der.null())),
        ],
      },
    ],
    [
      'a signing time that is none',
      'cms-signed-attributes',
      { attributes: [CONTENT_TYPE, MESSAGE_DIGEST, time(der.null())] },
    ],
    [
      'a signing time on no day',
      'cms-signed-attributes',
      { attributes: [CONTENT_TYPE, MESSAGE_DIGEST, time(der.tlv(0x17, utf8('260230000000Z')))] },
    ],
    [
      'a signing time without seconds',
      'cms-signed-attributes',
      { attributes: [CONTENT_TYPE, MESSAGE_DIGEST, time(der.tlv(0x18, utf8('202602010000Z')))] },
    ],
    [
      'a signing time in the future',
      'artifact-window',
      { attributes: [CONTENT_TYPE, MESSAGE_DIGEST, time(der.time(NOW + DAY))] },
    ],
    [
      'the digest of other content',
      'cms-message-digest',
      { attributes: [CONTENT_TYPE, attribute('1.2.840.113549.1.9.4', der.octetString(new Uint8Array(32)))] },
    ],
    [
      'a message digest of another length',
      'cms-message-digest',
      { attributes: [CONTENT_TYPE, attribute('1.2.840.113549.1.9.4', der.octetString(new Uint8Array(20)))] },
    ],
    ['an unknown signature algorithm', 'artifact-algorithm', { algorithm: der.sequence(der.oid('1.2.3')) }],
    ['ECDSA with SHA-1', 'artifact-algorithm', { algorithm: der.sequence(der.oid(OID.ecdsaWithSha1)) }],
    [
      'a signature with another hash than the content',
      'artifact-algorithm',
      { algorithm: der.sequence(der.oid(OID.ecdsaWithSha512)) },
    ],
    [
      'parameters of ECDSA',
      'malformed',
      { algorithm: der.sequence(der.oid(OID.ecdsaWithSha256), der.null()) },
    ],
    [
      'RSASSA-PSS with its defaults, SHA-1',
      'artifact-algorithm',
      { algorithm: der.sequence(der.oid(OID.rsassaPss), der.sequence()) },
    ],
    ['MGF1 with another hash', 'artifact-algorithm', { algorithm: pss(OID.sha256, OID.sha512, 32) }],
    ['MGF1 with SHA-1', 'artifact-algorithm', { algorithm: pss(OID.sha256, sha1, 32) }],
    ['a short salt', 'artifact-algorithm', { algorithm: pss(OID.sha256, OID.sha256, 20) }],
    ['an endless salt', 'malformed', { algorithm: pss(OID.sha256, OID.sha256, 1025) }],
    [
      'another mask generation function',
      'artifact-algorithm',
      {
        algorithm: concat([
          der.sequence(
            der.oid(OID.rsassaPss),
            der.sequence(
              der.context(0, SHA256),
              der.context(1, der.sequence(der.oid('1.2.3'), SHA256)),
              der.context(2, der.smallInteger(32)),
            ),
          ),
        ]),
      },
    ],
    [
      'too many certificates',
      'malformed',
      {
        certificates: [],
        afterCertificates: der.context(0, ...Array.from({ length: 9 }, () => der.sequence())),
      },
    ],
    ['an attribute certificate', 'malformed', { afterCertificates: der.context(0, der.context(1)) }],
  ])('%s', (_name, check, change) => {
    expectRefusal(check, () => verify(handmade(change), trust));
  });

  it('an impossible salt is a signature that does not verify', () => {
    const rsa = trustOf({ signers: [signer(keys.rsa)] });
    expectRefusal('artifact-signature', () =>
      verify(handmade({ key: keys.rsa, algorithm: pss(OID.sha256, OID.sha256, 1000) }), rsa),
    );
  });

  it('no signers, none that is a SEQUENCE, trailing data', () => {
    const good = handmade({});
    const empty = Buffer.from(good).indexOf(Buffer.from(der.oid('1.2.840.113549.1.7.2')));
    expect(empty).toBeGreaterThan(0);
    const parts = [der.smallInteger(1), der.setOf(SHA256), der.sequence(der.oid('1.2.840.113549.1.7.1'))];
    const wrap = (...infos: Uint8Array[]) =>
      der.sequence(der.oid('1.2.840.113549.1.7.2'), der.context(0, der.sequence(...parts, ...infos)));
    expectRefusal('cms-signer-count', () => verify(wrap(der.setOf()), trust));
    expectRefusal('malformed', () => verify(wrap(der.setOf(der.null())), trust));
    expectRefusal('malformed', () => verify(wrap(), trust));
    expectRefusal('malformed', () => verify(wrap(der.setOf(), der.null()), trust));
    expectRefusal('malformed', () => verify(concat([good, fromHex('00')]), trust));
    expectRefusal('malformed', () => verify(utf8('-----BEGIN CMS-----\nAAAA\n-----END CMS-----\nx'), trust));
    expectRefusal('malformed', () => verify(new Uint8Array(300_000).fill(0x30), trust));
  });
});
