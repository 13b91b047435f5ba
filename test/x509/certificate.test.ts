import { X509Certificate } from 'node:crypto';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import 'reflect-metadata';
import * as peculiar from '@peculiar/x509';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal, toHex } from '../../src/base/index.ts';
import {
  DerReader,
  OID,
  der,
  extension,
  generalName,
  parseCertificate,
  parsePem,
  parseSpki,
  publicKeyOf,
  toPem,
} from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { certificate, dataDer, make } from './support.ts';

const GCE = ['ca-certs', 'certificates'].flatMap((folder) =>
  readdirSync(path.resolve(import.meta.dirname, '../data/gce-vtpm', folder)).map(
    (file) => `gce-vtpm/${folder}/${file}`,
  ),
);
const FILES = [
  ...GCE,
  ...['ekcert_rsa.der', 'ekcert_ecc384.der', 'rootca.pem'].map(
    (file) => `swtpm-certificates/generated/${file}`,
  ),
];

describe('parseCertificate reads what Node and @peculiar/x509 read', () => {
  it.each(FILES)('%s', (file) => {
    const bytes = dataDer(file);
    const ours = parseCertificate(bytes);
    const node = new X509Certificate(bytes);
    expect(ours.fingerprint).toBe(node.fingerprint256.replaceAll(':', '').toLowerCase());
    expect(ours.serial.replace(/^00(?=.)/, '')).toBe(node.serialNumber.toLowerCase());
    expect([ours.notBefore, ours.notAfter]).toEqual([Date.parse(node.validFrom), Date.parse(node.validTo)]);
    expect(ours.basicConstraints?.ca).toBe(node.ca);
    // Node gives the extended key usage by this name, and undefined when there is none.
    expect(ours.extKeyUsage).toEqual(node.keyUsage);
    expect(publicKeyOf(ours.publicKey).export({ type: 'spki', format: 'der' })).toEqual(
      node.publicKey.export({ type: 'spki', format: 'der' }),
    );
    const other = new peculiar.X509Certificate(bytes);
    expect(toHex(new Uint8Array(other.publicKey.rawData))).toBe(toHex(ours.publicKey.der));
    expect(other.extensions.map(({ type, critical }) => [type, critical])).toEqual(
      [...ours.extensions.values()].map(({ oid, critical }) => [oid, critical]),
    );
    expect(toHex(new Uint8Array(other.subjectName.toArrayBuffer()))).toBe(toHex(ours.subject.raw));
  });
});

describe('parseCertificate refuses', () => {
  it.each(['gce-vtpm/certificates/pca_tpm_ecc_sign_cert.pem', 'swtpm-certificates/generated/ekcert_rsa.der'])(
    '%s cut off at each byte, or with a byte more',
    (file) => {
      const bytes = dataDer(file);
      for (let length = 0; length < bytes.length; length++) {
        expectRefusal('malformed', () => parseCertificate(bytes.subarray(0, length)));
      }
      expectRefusal('malformed', () => parseCertificate(new Uint8Array([...bytes, 0])));
    },
  );

  it('one changed byte, or gives another certificate: never an equal one', () => {
    const bytes = dataDer('gce-vtpm/certificates/uca_tpm_ecc_enc_cert.pem');
    const { fingerprint } = parseCertificate(bytes);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = bytes.slice();
        changed[at]! ^= flip;
        try {
          expect(parseCertificate(changed).fingerprint).not.toBe(fingerprint);
        } catch (error) {
          if (!(error instanceof Refusal)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('more bytes than a certificate may have, before reading them', () => {
    expectRefusal('x509-too-large', () => parseCertificate(new Uint8Array(16 * 1024 + 1)));
  });

  it('an extension twice', () => {
    const usage = extension.keyUsage('keyCertSign');
    expectRefusal('x509-duplicate-extension', () => certificate({ ca: true, more: [usage] }));
  });

  it('inner and outer signature algorithms that differ', () => {
    const { tbs, signature } = certificate({});
    const other = der.sequence(der.oid(OID.ecdsaWithSha384));
    expectRefusal('x509-signature-algorithm', () =>
      parseCertificate(der.sequence(tbs, other, der.bitString(signature))),
    );
  });

  it('algorithms that are unknown, obsolete or oddly parametrised', () => {
    const { tbs, signature } = certificate({});
    const md5 = der.sequence(der.oid('1.2.840.113549.1.1.4'), der.null());
    expectRefusal('x509-unsupported-algorithm', () => rebuilt(tbs, md5, signature));
    const withNull = der.sequence(der.oid(OID.ecdsaWithSha256), der.null());
    expectRefusal('malformed', () => rebuilt(tbs, withNull, signature));
    const named = (oid: string) =>
      der.sequence(
        der.sequence(der.oid(OID.ecPublicKey), der.oid(oid)),
        der.bitString(new Uint8Array(65).fill(4)),
      );
    expectRefusal('x509-unsupported-algorithm', () => withKey(named('1.2.840.10045.3.1.1')));
    expectRefusal('x509-unsupported-algorithm', () => withKey(named('1.3.132.0.10')));
    expectRefusal('malformed', () => withKey(named(OID.secp384r1)));
  });

  it('versions: 0 encoded, 4, extensions in version 1', () => {
    const fields = new DerReader(certificate({}).tbs, 'x').sequence('x');
    fields.any();
    const rest: Uint8Array[] = [];
    while (!fields.atEnd) rest.push(fields.any().raw);
    const { signatureAlgorithm, signature } = certificate({});
    const withVersion =
      (...version: Uint8Array[]) =>
      () =>
        parseCertificate(
          der.sequence(der.sequence(...version, ...rest), signatureAlgorithm.raw, der.bitString(signature)),
        );
    expect(withVersion(der.context(0, der.smallInteger(2)))().version).toBe(3);
    expectRefusal('x509-version', withVersion(der.context(0, der.smallInteger(0))));
    expectRefusal('x509-version', withVersion(der.context(0, der.smallInteger(3))));
    expectRefusal('x509-version', withVersion(der.context(0, der.smallInteger(1))));
    expectRefusal('x509-version', withVersion());
  });

  it('times that are none', () => {
    const good = certificate({});
    const time = (text: string) => () => parseCertificate(replaced(good.raw, '260101000000Z', text));
    expect(time('250228235959Z')().notBefore).toBe(Date.UTC(2025, 1, 28, 23, 59, 59));
    expect(time('500101000000Z')().notBefore).toBe(Date.UTC(1950, 0, 1));
    for (const text of [
      '260231000000Z',
      '261301000000Z',
      '260101240000Z',
      '260101000060Z',
      '2601010000+01',
      '26010100000Z ',
    ]) {
      expectRefusal('malformed', time(text));
    }
  });

  it('an empty issuer, empty lists, key usage without a bit', () => {
    expectRefusal('malformed', () => certificate({ issuer: '' }));
    const list = (oid: string, value: Uint8Array) => () => certificate({ extensions: [{ oid, value }] });
    expectRefusal('malformed', list(OID.extKeyUsage, der.sequence()));
    expectRefusal('malformed', list(OID.subjectAltName, der.sequence()));
    expectRefusal('malformed', list(OID.certificatePolicies, der.sequence()));
    expectRefusal('malformed', list(OID.keyUsage, der.namedBits([])));
    expectRefusal('malformed', list(OID.keyUsage, der.namedBits([9])));
    expectRefusal('malformed', list(OID.basicConstraints, der.sequence(der.boolean(false))));
  });

  it('bytes behind the value of an extension', () => {
    for (const each of [
      extension.basicConstraints(true),
      extension.keyUsage('keyCertSign'),
      extension.extKeyUsage(OID.serverAuth),
      extension.subjectKeyId(new Uint8Array(20)),
      extension.authorityKeyId(new Uint8Array(20)),
      extension.subjectAltName(false, generalName.dns('a.example')),
    ]) {
      expect(certificate({ extensions: [each] }).extensions.size).toBe(1);
      const longer = { ...each, value: new Uint8Array([...each.value, 5, 0]) };
      expectRefusal('malformed', () => certificate({ extensions: [longer] }));
    }
  });

  it('names that no GeneralName may be', () => {
    const names = [
      der.contextPrimitive(7, new Uint8Array(5)),
      der.contextPrimitive(2, new Uint8Array([0xc3, 0xa4])),
      der.contextPrimitive(9, new Uint8Array()),
      der.context(4, der.sequence(), der.sequence()),
    ];
    for (const name of names)
      expectRefusal('malformed', () => certificate({ extensions: [extension.subjectAltName(false, name)] }));
  });
});

describe('parseCertificate bounds', () => {
  const many = (count: number, make: (n: number) => Uint8Array) =>
    Array.from({ length: count }, (_, n) => make(n));

  it('the number of extensions, purposes, names and attributes', () => {
    const extensions = (count: number) => () =>
      certificate({
        extensions: Array.from({ length: count }, (_, n) => ({ oid: `1.2.${n}`, value: der.null() })),
      });
    expect(extensions(64)().extensions.size).toBe(64);
    expectRefusal('malformed', extensions(65));
    const purposes = (count: number) => () =>
      certificate({
        extensions: [extension.extKeyUsage(...Array.from({ length: count }, (_, n) => `1.2.${n}`))],
      });
    expect(purposes(64)().extKeyUsage).toHaveLength(64);
    expectRefusal('malformed', purposes(65));
    const names = (count: number) => () =>
      certificate({
        extensions: [extension.subjectAltName(false, ...many(count, (n) => generalName.dns(`h${n}`)))],
      });
    expect(names(256)().subjectAltName).toHaveLength(256);
    expectRefusal('malformed', names(257));
    const attributes = (count: number) => () =>
      certificate({
        extensions: [
          extension.subjectAltName(
            false,
            generalName.directory(Array.from({ length: count }, () => [[OID.commonName, 'x']])),
          ),
        ],
      });
    expect(attributes(64)().subjectAltName).toHaveLength(1);
    expectRefusal('malformed', attributes(65));
  });

  it('the serial number', () => {
    const { tbs, signatureAlgorithm, signature } = certificate({});
    const withSerial = (bytes: number) => () => {
      const fields = new DerReader(tbs, 'x').sequence('x');
      const version = fields.any().raw;
      fields.any();
      const rest: Uint8Array[] = [];
      while (!fields.atEnd) rest.push(fields.any().raw);
      const serial = der.integer(new Uint8Array(bytes).fill(0x11));
      return parseCertificate(
        der.sequence(
          der.sequence(version, serial, ...rest),
          signatureAlgorithm.raw,
          der.bitString(signature),
        ),
      );
    };
    expect(withSerial(32)().serial).toBe('11'.repeat(32));
    expectRefusal('malformed', withSerial(33));
  });

  it('RSA parameters: positive, an exponent of at most 64 bits', () => {
    const rsa = (modulus: Uint8Array, exponent: Uint8Array) => () =>
      parseSpki(
        der.sequence(
          der.sequence(der.oid(OID.rsaEncryption), der.null()),
          der.bitString(der.sequence(modulus, exponent)),
        ),
      );
    const good = der.integer(new Uint8Array(256).fill(0xff));
    const bits = rsa(good, der.smallInteger(3))().key;
    expect(bits).toMatchObject({ type: 'rsa', bits: 2048, exponent: 3n });
    expectRefusal('malformed', rsa(der.smallInteger(0), der.smallInteger(3)));
    expectRefusal('malformed', rsa(der.tlv(2, new Uint8Array([0x80])), der.smallInteger(3)));
    expectRefusal('malformed', rsa(good, der.integer(new Uint8Array(9).fill(1))));
    expectRefusal('malformed', () =>
      parseSpki(der.sequence(der.sequence(der.oid(OID.ed25519)), der.bitString(new Uint8Array(31)))),
    );
  });
});

describe('names', () => {
  const named = (value: Uint8Array) =>
    certificate({
      extensions: [
        extension.subjectAltName(
          false,
          der.context(4, der.sequence(der.tlv(0x31, der.sequence(der.oid(OID.commonName), value)))),
        ),
      ],
    }).subjectAltName?.[0];

  it.each([
    ['UTF8String', 0x0c, [0xc3, 0xa4], 'CN=ä'],
    ['PrintableString', 0x13, [0x41], 'CN=A'],
    ['IA5String', 0x16, [0x40], 'CN=@'],
    ['T61String as Latin-1', 0x14, [0xe4], 'CN=ä'],
    ['BMPString', 0x1e, [0x20, 0xac], 'CN=€'],
    ['what is no string, as hex', 0x02, [0x05], 'CN=\\#020105'],
    ['special characters, escaped', 0x0c, [0x2c, 0x2b, 0x20], 'CN=\\,\\+\\ '],
  ])('%s', (_, tag, bytes, text) => {
    expect(named(der.tlv(tag, new Uint8Array(bytes)))).toMatchObject({ name: { text } });
  });

  it('refuses text that its type can’t hold', () => {
    expectRefusal('malformed', () => named(der.tlv(0x0c, new Uint8Array([0xff]))));
    expectRefusal('malformed', () => named(der.tlv(0x13, new Uint8Array([0xe4]))));
    expectRefusal('malformed', () => named(der.tlv(0x1e, new Uint8Array([0x20]))));
  });

  it('of every other kind are kept, and control characters refused', () => {
    const alternative = (name: Uint8Array) => () =>
      certificate({ extensions: [extension.subjectAltName(false, name)] }).subjectAltName;
    expect(alternative(der.contextPrimitive(1, new TextEncoder().encode('a@b')))()).toEqual([
      { type: 'email', value: 'a@b' },
    ]);
    for (const other of [
      der.context(0, der.oid('1.2.3')),
      der.context(5, der.null()),
      der.contextPrimitive(8, new Uint8Array([0x2a])),
    ]) {
      expect(alternative(other)()).toEqual([{ type: 'other', tag: other[0], value: toHex(other) }]);
    }
    expectRefusal('malformed', alternative(generalName.dns('a.example\0.evil.example')));
    expectRefusal('malformed', alternative(generalName.uri('https://a.example/\n')));
  });
});

describe('RSASSA-PSS', () => {
  const sha256 = der.sequence(der.oid(OID.sha256), der.null());
  const pss = (hash: Uint8Array, mgfHash: Uint8Array, salt: number) =>
    der.sequence(
      der.oid(OID.rsassaPss),
      der.sequence(
        der.context(0, hash),
        der.context(1, der.sequence(der.oid(OID.mgf1), mgfHash)),
        der.context(2, der.smallInteger(salt)),
      ),
    );
  it('only with one SHA-2 hash for both and a salt of its size', () => {
    const { tbs, signature } = certificate({});
    const sha384 = der.sequence(der.oid(OID.sha384), der.null());
    const sha1 = der.sequence(der.oid('1.3.14.3.2.26'), der.null());
    // Well formed, so that the difference to the inner one is what is refused.
    expectRefusal('x509-signature-algorithm', () => rebuilt(tbs, pss(sha256, sha256, 32), signature));
    expectRefusal('x509-unsupported-algorithm', () => rebuilt(tbs, pss(sha256, sha384, 32), signature));
    expectRefusal('x509-unsupported-algorithm', () => rebuilt(tbs, pss(sha256, sha256, 20), signature));
    expectRefusal('x509-unsupported-algorithm', () => rebuilt(tbs, pss(sha1, sha1, 20), signature));
    const notMgf1 = pss(sha256, sha256, 32);
    notMgf1[Buffer.from(notMgf1).indexOf('2a864886f70d010108', 'hex') + 8] = 0x09;
    expectRefusal('x509-unsupported-algorithm', () => rebuilt(tbs, notMgf1, signature));
    // Without parameters everything would be SHA-1.
    expectRefusal('malformed', () => rebuilt(tbs, der.sequence(der.oid(OID.rsassaPss)), signature));
    expectRefusal('malformed', () =>
      rebuilt(tbs, der.sequence(der.oid(OID.rsassaPss), der.sequence()), signature),
    );
  });
});

describe('PEM', () => {
  const a = dataDer('gce-vtpm/certificates/pca_tpm_ecc_sign_cert.pem');
  const b = dataDer('gce-vtpm/certificates/pca_tpm_rsa_sign_cert.pem');
  const bytes = (text: string) => new TextEncoder().encode(text);

  it('gives back what was written, in order, with text between', () => {
    expect(parsePem(bytes(`first\n${toPem(a)}second\r\n${toPem(b)}`))).toEqual([a, b]);
    expect(parsePem(bytes(toPem(a).replaceAll('\n', '\r\n')))).toEqual([a]);
  });

  it('refuses what is no list of certificates', () => {
    const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n';
    for (const text of [
      '',
      'hello',
      toPem(a).slice(0, -10),
      key,
      toPem(a) + key,
      toPem(a).replace('MII', 'M*I'),
    ]) {
      expectRefusal('malformed', () => parsePem(bytes(text)));
    }
    expectRefusal('x509-too-large', () => parsePem(bytes(toPem(a).repeat(9))));
    expectRefusal('x509-too-large', () => parsePem(bytes(toPem(new Uint8Array(40_000)))));
  });
});

function rebuilt(tbs: Uint8Array, algorithm: Uint8Array, signature: Uint8Array): unknown {
  return parseCertificate(der.sequence(tbs, algorithm, der.bitString(signature)));
}

function withKey(publicKey: Uint8Array): unknown {
  return parseCertificate(make({ publicKey }));
}

/** Replaces text of the same length inside DER. */
function replaced(bytes: Uint8Array, from: string, to: string): Uint8Array {
  expect(to).toHaveLength(from.length);
  const text = Buffer.from(bytes).toString('latin1');
  expect(text.split(from)).toHaveLength(2);
  return new Uint8Array(Buffer.from(text.replace(from, to), 'latin1'));
}
