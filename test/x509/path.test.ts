import { describe, expect, it } from 'vitest';
import {
  DerReader,
  codeSigningProfile,
  der,
  encodeCertificate,
  extension,
  OID,
  parseCertificate,
  spkiOf,
  verifyPath,
} from '../../src/x509/index.ts';
import type { Certificate, ExtensionInput, VerifiedPath } from '../../src/x509/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, certificate, key, make, name, root } from './support.ts';

const verify = (
  leaf: Certificate,
  anchors: readonly Certificate[],
  intermediates: readonly Certificate[] = [],
  now = NOW,
) => verifyPath({ leaf, anchors, intermediates, now, profile: codeSigningProfile });

const day = 86_400_000;

describe('verifyPath accepts', () => {
  it('a leaf of the root, and says by which way', () => {
    const anchor = root();
    const leaf = certificate({});
    const path = verify(leaf, [anchor]);
    expect(path.chain.map(({ fingerprint }) => fingerprint)).toEqual([leaf.fingerprint, anchor.fingerprint]);
    expect(path).toMatchObject({ anchor, quirks: [] });
  });

  it('intermediates in any order, with ones that lead nowhere', () => {
    const chain = [
      certificate({ subject: 'a', issuer: 'root', ca: true }),
      certificate({ subject: 'b', issuer: 'a', ca: true }),
      certificate({ subject: 'stranger', issuer: 'nobody', ca: true }),
    ];
    for (const order of [chain, [...chain].reverse()]) {
      expect(verify(certificate({ issuer: 'b' }), [root()], order).chain).toHaveLength(4);
    }
  });

  it('the longest chain, 8 certificates', () => {
    const six = [1, 2, 3, 4, 5, 6].map((n) =>
      certificate({ subject: `c${n}`, issuer: n === 1 ? 'root' : `c${n - 1}`, ca: true }),
    );
    expect(verify(certificate({ issuer: 'c6' }), [root()], six).chain).toHaveLength(8);
  });

  it('a path although another root has the same subject and another key', () => {
    const wrong = root({ key: 'other', signer: 'other' });
    expect(verify(certificate({}), [wrong, root()]).chain).toHaveLength(2);
  });

  it('a trust anchor that is not self-signed, when the caller says so', () => {
    const anchor = certificate({ subject: 'a', issuer: 'root', ca: true });
    expect(verify(certificate({ issuer: 'a' }), [anchor]).anchor).toBe(anchor);
  });

  it('self-issued certificates without counting them in the path length (RFC 5280 §6.1.4 (l))', () => {
    const rollover = certificate({
      subject: 'root',
      issuer: 'root',
      key: 'new root',
      signer: 'root',
      ca: true,
    });
    const leaf = certificate({ issuer: 'root', signer: 'new root' });
    expect(verify(leaf, [root({ pathLength: 0 })], [rollover]).chain).toHaveLength(3);
  });

  it('the first and the last second of the validity', () => {
    const leaf = certificate({ notBefore: NOW - day, notAfter: NOW + day });
    expect(verify(leaf, [root()], [], NOW - day).leaf).toBe(leaf);
    expect(verify(leaf, [root()], [], NOW + day + 999).leaf).toBe(leaf);
  });
});

it('a path that was not verified is of no use: it doesn’t compile', () => {
  const leaf = certificate({});
  const use = (path: VerifiedPath<unknown>) => path.chain.length;
  expect(use(verify(leaf, [root()]))).toBe(2);
  // @ts-expect-error -- all members are there, but nobody verified them
  expect(use({ leaf, chain: [leaf], anchor: leaf, findings: {}, quirks: [] })).toBe(1);
});

describe('verifyPath refuses', () => {
  it('everything when no anchor is configured', () => {
    expectRefusal('x509-no-anchors', () => verify(certificate({}), []));
    expectRefusal('x509-no-anchors', () => verify(certificate({}), [], [root()]));
  });

  it('a time that is none', () => {
    expect(() => verify(certificate({}), [root()], [], NaN)).toThrow(TypeError);
  });

  it('a leaf of nobody known, and a self-signed leaf', () => {
    expectRefusal('x509-untrusted', () => verify(certificate({ issuer: 'stranger' }), [root()]));
    expectRefusal('x509-self-signed', () =>
      verify(certificate({ subject: 'leaf', issuer: 'leaf' }), [root()]),
    );
  });

  it('a leaf of version 1', () => {
    expectRefusal('x509-version', () => verify(parseCertificate(versionOne('leaf', 'root')), [root()]));
  });

  it('a leaf that is its own anchor', () => {
    const leaf = certificate({ subject: 'leaf', issuer: 'leaf' });
    expectRefusal('x509-leaf-is-anchor', () => verify(leaf, [leaf]));
  });

  it('a root of the same subject with another key', () => {
    expectRefusal('x509-signature', () => verify(certificate({}), [root({ key: 'other', signer: 'other' })]));
  });

  it('an issuer that is no authority: CA false, no basic constraints, no key usage, version 1', () => {
    const leaf = certificate({ issuer: 'middle' });
    const middle = (extensions: Parameters<typeof make>[0]['extensions']) =>
      certificate({ subject: 'middle', ...(extensions === undefined ? {} : { extensions }) });
    expectRefusal('x509-not-ca', () => verify(leaf, [root()], [middle(undefined)]));
    expectRefusal('x509-not-ca', () => verify(leaf, [root()], [middle([extension.keyUsage('keyCertSign')])]));
    expectRefusal('x509-issuer-key-usage', () =>
      verify(leaf, [root()], [middle([extension.basicConstraints(true), extension.keyUsage('cRLSign')])]),
    );
    expectRefusal('x509-issuer-key-usage', () =>
      verify(leaf, [root()], [middle([extension.basicConstraints(true)])]),
    );
    expectRefusal('x509-not-ca', () =>
      verify(leaf, [root()], [parseCertificate(versionOne('middle', 'root'))]),
    );
    expectRefusal('x509-not-ca', () =>
      verify(certificate({}), [parseCertificate(versionOne('root', 'root'))]),
    );
  });

  it('but a trusted root may leave its key usage out, as openssl’s default root does', () => {
    const anchor = (...more: ExtensionInput[]) =>
      certificate({
        subject: 'root',
        issuer: 'root',
        extensions: [extension.basicConstraints(true), ...more],
      });
    expect(verify(certificate({}), [anchor()]).chain).toHaveLength(2);
    expectRefusal('x509-issuer-key-usage', () =>
      verify(certificate({}), [anchor(extension.keyUsage('cRLSign'))]),
    );
  });

  it('more authorities than a path length allows, at each level', () => {
    const leaf = certificate({ issuer: 'b' });
    const middle = (pathLength?: number) => [
      certificate({ subject: 'a', ca: true, ...(pathLength === undefined ? {} : { pathLength }) }),
      certificate({ subject: 'b', issuer: 'a', ca: true }),
    ];
    expect(verify(leaf, [root({ pathLength: 2 })], middle(1)).chain).toHaveLength(4);
    expectRefusal('x509-path-length', () => verify(leaf, [root({ pathLength: 1 })], middle()));
    expectRefusal('x509-path-length', () => verify(leaf, [root()], middle(0)));
  });

  it.each(['leaf', 'middle', 'root'])('a %s that has expired or is not valid yet', (who) => {
    const build = (dates: { notBefore?: number; notAfter?: number }) => {
      const at = (level: string) => (level === who ? dates : {});
      return () =>
        verify(
          certificate({ issuer: 'a', ...at('leaf') }),
          [root(at('root'))],
          [certificate({ subject: 'a', ca: true, ...at('middle') })],
        );
    };
    expect(build({ notAfter: NOW })().chain).toHaveLength(3);
    expectRefusal('x509-expired', build({ notAfter: NOW - 1000 }));
    expectRefusal('x509-not-yet-valid', build({ notBefore: NOW + 1000 }));
  });

  it('critical extensions that it does not understand, in leaf, intermediate and root', () => {
    const more = [{ oid: '1.3.6.1.4.1.99999.1', critical: true, value: der.null() }];
    const a = { subject: 'a', ca: true };
    expectRefusal('x509-unknown-critical', () => verify(certificate({ more }), [root()]));
    expectRefusal('x509-unknown-critical', () => verify(certificate({}), [root({ more })]));
    expectRefusal('x509-unknown-critical', () =>
      verify(certificate({ issuer: 'a' }), [root()], [certificate({ ...a, more })]),
    );
    const harmless = more.map((each) => ({ ...each, critical: false }));
    expect(verify(certificate({ more: harmless }), [root()]).chain).toHaveLength(2);
  });

  it('name constraints, critical or not', () => {
    const constraints = { oid: OID.nameConstraints, value: der.sequence() };
    for (const critical of [true, false]) {
      expectRefusal('x509-name-constraints', () =>
        verify(certificate({}), [root({ more: [{ ...constraints, critical }] })]),
      );
    }
  });

  it('issuers that are restricted to other purposes', () => {
    const withPurposes = (...purposes: string[]) => [root({ more: [extension.extKeyUsage(...purposes)] })];
    expectRefusal('x509-issuer-purpose', () => verify(certificate({}), withPurposes(OID.serverAuth)));
    expect(verify(certificate({}), withPurposes(OID.serverAuth, OID.codeSigning)).chain).toHaveLength(2);
    expect(verify(certificate({}), withPurposes(OID.anyExtendedKeyUsage)).chain).toHaveLength(2);
  });

  it('weak and huge keys, before anything is computed with them', () => {
    const rsa = (bits: number, exponent: readonly number[] = [1, 0, 1]) => {
      const modulus = new Uint8Array(bits / 8).fill(0xff);
      const fields = der.sequence(der.integer(modulus), der.integer(new Uint8Array(exponent)));
      return der.sequence(der.sequence(der.oid(OID.rsaEncryption), der.null()), der.bitString(fields));
    };
    const leaf = certificate({ issuer: 'a' });
    const through = (publicKey: Uint8Array) => () =>
      verify(leaf, [root()], [certificate({ subject: 'a', ca: true, publicKey })]);
    expectRefusal('x509-weak-key', through(rsa(1024)));
    expectRefusal('x509-weak-key', through(rsa(2048, [1])));
    expectRefusal('x509-weak-key', through(rsa(2048, [2])));
    expectRefusal('x509-weak-key', through(rsa(2048, [1, 0, 0, 0, 1])));
    const before = process.hrtime.bigint();
    expectRefusal('x509-key-too-large', through(rsa(65_536)));
    expect(Number(process.hrtime.bigint() - before) / 1e6).toBeLessThan(200);
    expectRefusal('x509-signature', through(rsa(2048)));
  });

  it('issuers and signers whose key is named for encryption (RFC 4055 §1.2)', () => {
    const plain = spkiOf(key('rsa2048').publicKey);
    const publicKey = der.sequence(
      der.sequence(der.oid(OID.rsaesOaep)),
      der.bitString(plain.slice(plain.length - 270)),
    );
    const leaf = certificate({ issuer: 'a', signer: 'rsa2048' });
    const middle = (spki: Uint8Array) => [certificate({ subject: 'a', ca: true, publicKey: spki })];
    expect(verify(leaf, [root()], middle(plain)).chain).toHaveLength(3);
    expectRefusal('x509-signature', () => verify(leaf, [root()], middle(publicKey)));
    expectRefusal('x509-key-usage', () => verify(certificate({ publicKey }), [root()]));
  });

  it('a public key that is no point of its curve', () => {
    const publicKey = spkiOf(key('a').publicKey).slice();
    publicKey[publicKey.length - 1]! ^= 1;
    expectRefusal('x509-invalid-key', () =>
      verify(certificate({ issuer: 'a' }), [root()], [certificate({ subject: 'a', ca: true, publicKey })]),
    );
  });

  it('chains that are too long, and more intermediates than a chain can have', () => {
    const seven = [1, 2, 3, 4, 5, 6, 7].map((n) =>
      certificate({ subject: `c${n}`, issuer: n === 1 ? 'root' : `c${n - 1}`, ca: true }),
    );
    expectRefusal('x509-chain-length', () => verify(certificate({ issuer: 'c7' }), [root()], seven));
    const nine = Array.from({ length: 9 }, () => seven[0]!);
    expectRefusal('x509-chain-length', () => verify(certificate({}), [root()], nine));
  });

  it('a set of certificates that all issue each other, within a bounded number of steps', () => {
    // Same name, another key each: every order is a path by names.
    const web = Array.from({ length: 8 }, (_, n) =>
      certificate({ subject: 'root', issuer: 'root', key: `k${n}`, signer: 'k0', ca: true }),
    );
    expectRefusal('x509-chain-length', () => verify(certificate({ signer: 'nobody' }), [root()], web));
    const elsewhere = Array.from({ length: 8 }, (_, n) =>
      certificate({ subject: 'x', issuer: 'x', key: `k${n}`, signer: 'k0', ca: true }),
    );
    expectRefusal('x509-chain-length', () => verify(certificate({ issuer: 'x' }), [root()], elsewhere));
  });

  it('any flipped bit of a signature', () => {
    const bytes = make({});
    for (const at of [bytes.length - 1, bytes.length - 20, bytes.length - 60]) {
      const changed = bytes.slice();
      changed[at]! ^= 0x01;
      let refused = false;
      try {
        verify(parseCertificate(changed), [root()]);
      } catch {
        refused = true;
      }
      expect(refused, `byte ${at}`).toBe(true);
    }
  });
});

/** A version 1 certificate: no extensions, so nothing says that it is an authority. */
function versionOne(subject: string, issuer: string): Uint8Array {
  const template = encodeCertificate(
    {
      serial: new Uint8Array([1]),
      issuer: name(issuer),
      subject: name(subject),
      notBefore: Date.UTC(2026, 0, 1),
      notAfter: Date.UTC(2027, 0, 1),
      publicKey: spkiOf(key(subject).publicKey),
      extensions: [],
    },
    key(issuer).privateKey,
  );
  // Without extensions, the encoding differs from version 1 only in the version field, which v1 leaves out.
  const { tbs, signatureAlgorithm, signature } = parseCertificate(template);
  const fields = new DerReader(tbs, 'TBSCertificate').sequence('TBSCertificate');
  fields.any();
  const rest: Uint8Array[] = [];
  while (!fields.atEnd) rest.push(fields.any().raw);
  return der.sequence(der.sequence(...rest), signatureAlgorithm.raw, der.bitString(signature));
}
