import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSignatureCache } from '../../../src/evidence/index.ts';
import type { ImaFindings, ImaRules, SignatureCache } from '../../../src/evidence/index.ts';
import { verifyEcdsaDigest } from '../../../src/evidence/ima/ecdsa-digest.ts';
import { findKernelHash } from '../../../src/evidence/ima/kernel-hashes.ts';
import { parseSigningKey, verifyDigest } from '../../../src/evidence/ima/signing-key.ts';
import { parseXattrSignature, signedDigest } from '../../../src/evidence/ima/xattr-signature.ts';
import { parseSpki } from '../../../src/x509/index.ts';
import {
  buffer,
  dNg,
  entry,
  h,
  hex,
  join,
  latin1,
  nNg,
  sha256,
  signedFile,
  verifyMade,
} from '../../support/ima.ts';
import type { MadeEntry } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const CURVES = ['P-256', 'P-384', 'P-521'] as const;
const EC = Object.fromEntries(
  CURVES.map((curve) => [curve, generateKeyPairSync('ec', { namedCurve: curve })]),
) as Record<(typeof CURVES)[number], { publicKey: KeyObject; privateKey: KeyObject }>;
const P256 = EC['P-256'];

const spki = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ type: 'spki', format: 'der' }));
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const keyIdOf = (key: KeyObject): Uint8Array => Buffer.from(parseSigningKey(spki(key)).keyId, 'hex');

/** security.ima, as `evmctl ima_sign` writes it. */
function xattr(
  key: { publicKey: KeyObject; privateKey: KeyObject },
  content: string | Uint8Array,
  algorithm = 'sha256',
  header: { readonly type?: number; readonly version?: number; readonly keyId?: Uint8Array } = {},
): Uint8Array {
  const { type = 3, version = 2, keyId = keyIdOf(key.publicKey) } = header;
  const signature = sign(algorithm, typeof content === 'string' ? latin1(content) : content, key.privateKey);
  const id = findKernelHash(algorithm)!.id;
  const size = Uint8Array.of(signature.length >> 8, signature.length & 0xff);
  return join(Uint8Array.of(type, version, id), keyId, size, signature);
}

const trusting = (...keys: readonly KeyObject[]): Partial<ImaRules> => ({
  signed: [{ path: '/usr/**', keyrings: ['distribution'] }],
  keyrings: { distribution: keys.map((key) => base64(spki(key))) },
});

function judge(
  entries: readonly MadeEntry[],
  rules: Partial<ImaRules>,
  signatures: SignatureCache = createSignatureCache(),
): ImaFindings {
  return verifyMade(entries, rules, { signatures }).findings;
}

describe('signatures of files', () => {
  it.each([
    ['RSA', RSA, 'sha256'],
    ['RSA', RSA, 'sha384'],
    ['RSA', RSA, 'sha512'],
    ['P-256', P256, 'sha256'],
    ['P-256', P256, 'sha512'],
    ['P-384', EC['P-384'], 'sha384'],
    ['P-384', EC['P-384'], 'sha256'],
    ['P-521', EC['P-521'], 'sha512'],
  ] as const)('of %s keys verify (%3$s)', (_name, key, algorithm) => {
    const one = entry('ima-sig', [
      dNg(h(algorithm, latin1('program')), algorithm),
      nNg('/usr/bin/program'),
      xattr(key, 'program', algorithm),
    ]);
    expect(judge([one], trusting(key.publicKey))).toMatchObject({
      known: 1,
      signed: 1,
      signatures: { checked: 1, cached: 0, failed: 0 },
      unknown: { total: 0 },
    });
  });

  const good = xattr(P256, 'program');
  const changed = (at: number): Uint8Array => {
    const bytes = good.slice();
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  it.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(), 'not signed'],
    ['another file’s signature', xattr(P256, 'other'), 'signature does not verify'],
    ['a changed signature', changed(good.length - 1), 'signature does not verify'],
    ['another key', xattr(RSA, 'program'), 'signed by a key that is not in the keyring'],
    [
      'another key under a trusted key’s id',
      xattr(EC['P-384'], 'program', 'sha256', { keyId: keyIdOf(P256.publicKey) }),
      'signature does not verify',
    ],
    ['a signature of another algorithm', xattr(P256, 'program', 'sha512'), 'signature of another digest'],
    ['an unknown algorithm', changed(2).fill(200, 2, 3), 'signature does not parse'],
    ['version 1', good.slice().fill(1, 1, 2), 'signature does not parse'],
    ['an fs-verity signature', good.slice().fill(6, 0, 1), 'signature does not parse'],
    ['a portable signature of security.evm', good.slice().fill(5, 0, 1), 'no signature of the content'],
    ['a cut signature', good.slice(0, -1), 'signature does not parse'],
    ['a cut header', good.slice(0, 5), 'signature does not parse'],
    ['a trailing byte', join(good, Uint8Array.of(0)), 'signature does not parse'],
    [
      'no signature behind the header',
      join(good.slice(0, 7), Uint8Array.of(0, 0)),
      'signature does not verify',
    ],
  ])('%s leaves the file unknown', (_what, signature, reason) => {
    const { unknown, signed } = judge(
      [signedFile('/usr/bin/program', 'program', signature)],
      trusting(P256.publicKey),
    );
    expect(signed).toBe(0);
    expect(unknown.list).toMatchObject([{ path: '/usr/bin/program', reason }]);
  });

  it('count only where a rule asks for them, and for keyrings that it names', () => {
    const rules = { ...trusting(P256.publicKey), signed: [{ path: '/opt/*', keyrings: ['distribution'] }] };
    expect(judge([signedFile('/usr/bin/program', 'program', good)], rules).known).toBe(0);
    const other = { ...trusting(P256.publicKey), signed: [{ path: '/usr/**', keyrings: ['vendor'] }] };
    expect(judge([signedFile('/usr/bin/program', 'program', good)], other).known).toBe(0);
  });

  it('by a denied key count as by an unknown one', () => {
    const key = `sha256:${parseSpki(spki(P256.publicKey)).keyId}`;
    const rules = { ...trusting(P256.publicKey), denied: { paths: [], digests: [], keys: [key] } };
    expect(judge([signedFile('/usr/bin/program', 'program', good)], rules).unknown.total).toBe(1);
  });

  it('are checked once for a key, digest and signature', () => {
    const cache = createSignatureCache();
    const bad = changed(good.length - 1);
    const list = [
      signedFile('/usr/bin/a', 'program', good),
      signedFile('/usr/bin/b', 'program', good),
      signedFile('/usr/bin/c', 'program', bad),
      signedFile('/usr/bin/d', 'program', bad),
    ];
    expect(judge(list, trusting(P256.publicKey), cache).signatures).toEqual({
      checked: 4,
      cached: 2,
      failed: 2,
    });
    expect(judge(list, trusting(P256.publicKey), cache)).toMatchObject({
      signatures: { checked: 4, cached: 4, failed: 2 },
      signed: 2,
    });
  });

  it('a full cache forgets and goes on', () => {
    const cache = createSignatureCache(4);
    for (let i = 0; i < 10; i++) cache.set(`k${i}`, i % 2 === 0);
    expect(cache.get('k9')).toBe(false);
    expect(cache.get('k8')).toBe(true);
    expect(cache.get('k0')).toBeUndefined();
  });
});

describe('version 3, which says what its digest is of', () => {
  const algorithm = findKernelHash('sha256')!;
  const fileId = (type: number, digest: Uint8Array): Uint8Array =>
    join(Uint8Array.of(type, algorithm.id), digest);
  const verityFile = (signature: Uint8Array): MadeEntry =>
    entry('ima-sigv2', [join(latin1('verity:'), dNg(sha256('root'))), nNg('/usr/bin/v'), signature]);

  it('verifies for fs-verity and for content', () => {
    const verity = xattr(P256, fileId(6, sha256('root')), 'sha256', { type: 6, version: 3 });
    expect(judge([verityFile(verity)], trusting(P256.publicKey)).signed).toBe(1);
    const content = xattr(P256, fileId(3, sha256('program')), 'sha256', { version: 3 });
    const one = entry('ima-sigv2', [
      join(latin1('ima:'), dNg(sha256('program'))),
      nNg('/usr/bin/p'),
      content,
    ]);
    expect(judge([one], trusting(P256.publicKey)).signed).toBe(1);
  });

  it('does not let one kind pass as the other', () => {
    const content = xattr(P256, fileId(3, sha256('root')), 'sha256', { version: 3 });
    expect(judge([verityFile(content)], trusting(P256.publicKey)).signed).toBe(0);
    const retyped = xattr(P256, fileId(3, sha256('root')), 'sha256', { type: 6, version: 3 });
    expect(judge([verityFile(retyped)], trusting(P256.publicKey)).signed).toBe(0);
  });

  it('of an algorithm that is not computed here has no digest', () => {
    const parsed = parseXattrSignature(
      join(Uint8Array.of(3, 3, findKernelHash('sm3')!.id, 0, 0, 0, 0, 0, 0)),
    );
    expect(signedDigest(parsed!, new Uint8Array(32))).toBeUndefined();
    const one = entry('ima-sig', [
      dNg(new Uint8Array(32), 'sm3'),
      nNg('/usr/bin/p'),
      join(Uint8Array.of(3, 3, findKernelHash('sm3')!.id), keyIdOf(P256.publicKey), Uint8Array.of(0, 1, 9)),
    ]);
    expect(judge([one], trusting(P256.publicKey)).unknown.list).toMatchObject([
      { reason: 'signature algorithm' },
    ]);
  });
});

describe('ECDSA over a digest', () => {
  const point = (key: KeyObject) => {
    const { key: fields } = parseSpki(spki(key));
    if (fields.type !== 'ec') throw new Error('not an EC key');
    return fields;
  };

  it('says the same as OpenSSL for random messages, keys and changes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CURVES),
        fc.constantFrom('sha256', 'sha384', 'sha512'),
        fc.uint8Array({ maxLength: 40 }),
        fc.integer({ min: 0, max: 255 }),
        (curve, algorithm, message, flip) => {
          const { publicKey, privateKey } = EC[curve];
          const digest = h(algorithm, message);
          const signature = new Uint8Array(sign(algorithm, message, privateKey));
          expect(verifyEcdsaDigest(point(publicKey), digest, signature)).toBe(true);
          const other = digest.slice();
          other[flip % 30] = (other[flip % 30] ?? 0) ^ (1 << (flip & 7));
          expect(verifyEcdsaDigest(point(publicKey), other, signature)).toBe(false);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('takes the empty message, whose key doesn’t move', () => {
    const signature = new Uint8Array(sign('sha256', new Uint8Array(), P256.privateKey));
    expect(verifyEcdsaDigest(point(P256.publicKey), sha256(new Uint8Array()), signature)).toBe(true);
  });

  it('refuses r = 0, r = n, a negative r, and what isn’t DER', () => {
    const key = point(P256.publicKey);
    const n = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
    const signature = (r: Uint8Array): Uint8Array => {
      const values = join(Uint8Array.of(2, r.length), r, Uint8Array.of(2, 1, 1));
      return join(Uint8Array.of(0x30, values.length), values);
    };
    const digest = sha256('x');
    expect(verifyEcdsaDigest(key, digest, signature(Uint8Array.of(0)))).toBe(false);
    expect(verifyEcdsaDigest(key, digest, signature(Uint8Array.of(0x80)))).toBe(false);
    expect(verifyEcdsaDigest(key, digest, signature(join(Uint8Array.of(0), n)))).toBe(false);
    expectRefusal('malformed', () => verifyEcdsaDigest(key, digest, Uint8Array.of(1, 2, 3)));
    expectRefusal('malformed', () =>
      verifyEcdsaDigest(key, digest, join(signature(Uint8Array.of(1)), Uint8Array.of(0))),
    );
  });

  it('moves a key onto itself (doubling) and into nothing (infinity)', () => {
    // With r = 1, digests z₀ + 1 and z₀ − 1 add G and −G: to the key G, that doubles it, and gives infinity.
    const g = generatorKey();
    const z0 = BigInt(`0x${hex(sha256(new Uint8Array()))}`);
    const bytes = (z: bigint): Uint8Array => Buffer.from(z.toString(16).padStart(64, '0'), 'hex');
    const signature = Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 1);
    expect(verifyEcdsaDigest(g, bytes(z0 + 1n), signature)).toBe(false);
    expect(verifyEcdsaDigest(g, bytes(z0 - 1n), signature)).toBe(false);
  });

  it('doubling gives the right key: a signature by 2·G that is made through it verifies', () => {
    // Key d = 1 signs z so that (z − z₀)/r = 1: z = z₀ + r. Then Q′ = 2·G, and the signature is d = 1’s over z.
    const g = generatorKey();
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const z0 = BigInt(`0x${hex(sha256(new Uint8Array()))}`);
    const toHex32 = (value: bigint): string => value.toString(16).padStart(64, '0');
    // k = 2: r = x(2·G), s = (z + r·1)/2.
    const r = BigInt('0x7cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc47669978');
    const z = (z0 + r) % order;
    const s = ((z + r) * ((order + 1n) / 2n)) % order;
    const integer = (value: bigint): Uint8Array => {
      const content = Buffer.from(`00${toHex32(value)}`, 'hex');
      const minimal = (content[1] ?? 0) & 0x80 ? content : content.subarray(1);
      return join(Uint8Array.of(2, minimal.length), minimal);
    };
    const values = join(integer(r), integer(s));
    const signature = join(Uint8Array.of(0x30, values.length), values);
    expect(verifyEcdsaDigest(g, Buffer.from(toHex32(z), 'hex'), signature)).toBe(true);
  });
});

/** The key whose private part is 1. */
function generatorKey() {
  const x = '6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296';
  const y = '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';
  return { curve: 'P-256' as const, point: new Uint8Array(Buffer.from(`04${x}${y}`, 'hex')) };
}

describe('signing keys', () => {
  it('are RSA of 2048 bits and more, and ECDSA', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    const ed = generateKeyPairSync('ed25519').publicKey;
    for (const key of [weak, ed]) {
      expectRefusal('ima-signing-key', () => judge([], trusting(key)));
    }
    expectRefusal('malformed', () => judge([], { keyrings: { k: ['AAAA'] } }));
    expectRefusal('malformed', () => judge([], { keyrings: { k: ['not base64'] } }));
  });

  it('do not verify SHA-1, a digest of the wrong size, or a signature of the wrong size', () => {
    const key = parseSigningKey(spki(RSA.publicKey));
    const sha256Id = findKernelHash('sha256')!;
    const signature = new Uint8Array(sign('sha256', latin1('x'), RSA.privateKey));
    expect(verifyDigest(key, sha256Id, sha256('x'), signature)).toBe(true);
    expect(
      verifyDigest(
        key,
        findKernelHash('sha1')!,
        h('sha1', latin1('x')),
        new Uint8Array(sign('sha1', latin1('x'), RSA.privateKey)),
      ),
    ).toBe(false);
    expect(verifyDigest(key, sha256Id, sha256('x').slice(1), signature)).toBe(false);
    expect(verifyDigest(key, sha256Id, sha256('x'), signature.slice(1))).toBe(false);
    expect(verifyDigest(key, sha256Id, sha256('x'), signature.slice().fill(0xff))).toBe(false);
  });

  it('are named by the subject key identifier of their certificate, else by SHA-1 of their bits', () => {
    const folder = temporaryDirectory();
    const key = path.join(folder, 'key.pem');
    const crt = path.join(folder, 'key.der');
    writeFileSync(key, P256.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-x509',
        '-key',
        key,
        '-subj',
        '/CN=IMA',
        '-outform',
        'DER',
        '-out',
        crt,
        '-days',
        '9',
        '-addext',
        'subjectKeyIdentifier=01:02:03:04:05:06:07:08',
      ],
      { stdio: 'ignore' },
    );
    const certificate = new Uint8Array(readFileSync(crt));
    expect(parseSigningKey(certificate).keyId).toBe('05060708');
    const { keyId } = parseSigningKey(spki(P256.publicKey));
    const bits = parseSpki(spki(P256.publicKey)).key;
    expect(keyId).toBe(hex(h('sha1', bits.type === 'ec' ? bits.point : new Uint8Array())).slice(-8));
    const rules = { ...trusting(), keyrings: { distribution: [base64(certificate)] } };
    const named = xattr(P256, 'program', 'sha256', { keyId: Uint8Array.of(5, 6, 7, 8) });
    expect(judge([signedFile('/usr/bin/p', 'program', named)], rules).signed).toBe(1);
    expect(judge([signedFile('/usr/bin/p', 'program', xattr(P256, 'program'))], rules).signed).toBe(0);
  });
});

describe('keys that the kernel measured when they were loaded', () => {
  const der = spki(P256.publicKey);
  const digest = `sha256:${hex(sha256(der))}`;
  const rules: Partial<ImaRules> = {
    signed: [{ path: '/usr/**', keyrings: ['.ima'] }],
    measuredKeyrings: { '.ima': [digest] },
  };
  const program = signedFile('/usr/bin/program', 'program', xattr(P256, 'program'));

  it('count from then on', () => {
    const found = judge([program, buffer('.ima', der), program, buffer('.ima', der)], rules);
    expect(found).toMatchObject({ signed: 1, unknown: { total: 1 }, unknownKeys: { total: 0 } });
    expect(found.keys).toEqual([{ entry: 2, keyring: '.ima', digest, der: base64(der) }]);
  });

  it('are reported and useless when the rules don’t list them', () => {
    const found = judge([buffer('.ima', der), program], { ...rules, measuredKeyrings: { '.ima': [] } });
    expect(found).toMatchObject({
      signed: 0,
      keys: [],
      unknownKeys: { total: 1, list: [{ name: '.ima', digest }] },
    });
    expect(judge([buffer('.evm', der), program], rules)).toMatchObject({
      signed: 0,
      unknownBuffers: { total: 1 },
    });
  });

  it('of another kind are listed, and verify nothing', () => {
    const junk = latin1('not a key');
    const listing = { ...rules, measuredKeyrings: { '.ima': [`sha256:${hex(sha256(junk))}`] } };
    expect(judge([buffer('.ima', junk), program], listing)).toMatchObject({
      signed: 0,
      keys: [{ keyring: '.ima' }],
    });
  });

  it('cannot be forged by a file that is called a buffer', () => {
    // A file’s xattr begins with its type, a key with 0x30: what ima-sig measures is never a key.
    const forged = entry('ima-sig', [dNg(sha256(der)), nNg('.ima'), der]);
    expectRefusal('malformed', () => judge([forged], rules));
  });
});
