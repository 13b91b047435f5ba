import { generateKeyPairSync, sign } from 'node:crypto';
import { CompactEncrypt, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { Reader, Refusal, toBase64url, toHex } from '../../src/base/index.ts';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import {
  checkSealed,
  decryptCredentials,
  encodeSealed,
  parseSealed,
  policyRefOf,
  sealCredentials,
} from '../../src/credential/index.ts';
import type { OwnTerms, RenewalBinding, SealTerms, SealedCredentials } from '../../src/credential/index.ts';
import {
  isReleaseSignature,
  makeReleaseKey,
  parseReleaseKey,
} from '../../src/credential/sealing/release-key.ts';
import {
  PolicyDigest,
  digest,
  encodePublic,
  encodeSignature,
  makeImportBlob,
  objectAttributes,
  objectName,
  parsePublic,
  releaseMessage,
  sealedPolicyDigest,
} from '../../src/tpm/index.ts';
import type { PcrSelection, SealedPolicy } from '../../src/tpm/index.ts';
import { expectRefusal, expectRejection } from '../support/refusals.ts';
import { recoverSeed, unwrapOuter } from '../support/software-tpm.ts';
import { recordedRandom } from '../support/vectors.ts';
import { systemRandom as random } from '../support/random.ts';
import { check, credentials, ek, own, release, sha256, terms } from './terms.ts';

const renewal: RenewalBinding = {
  kind: 'renewal',
  requestDigest: sha256('attestation'),
  authorizations: [
    { executionId: release.executionId, jti: 'authorization-2' },
    { executionId: '019a9e2c-7b1e-7c3d-8f20-1234567890ac', jti: 'authorization-3' },
  ],
};

/** The key in the import blob, as the TPM would unseal it. */
function unseal(sealed: SealedCredentials): Uint8Array {
  const seed = recoverSeed(ek, 'DUPLICATE', sealed.encryptedSeed);
  const plain = unwrapOuter(ek.area, seed, objectName(sealed.objectPublic), sealed.duplicate);
  if (plain === undefined) throw new Error('integrity check failed');
  const reader = new Reader(plain, 'TPM2B_SENSITIVE');
  reader.bytes(4);
  reader.sized16();
  reader.sized16();
  return reader.sized16();
}

describe('a release', () => {
  let sealed: SealedCredentials;
  beforeAll(async () => {
    sealed = await sealCredentials(credentials, terms, random);
  });

  it('passes the host’s check and opens', async () => {
    const object = check(sealed);
    expect(object.expiration).toBe(30);
    expect(object.policy.clockBefore).toBe(1_030_000n);
    expect(await decryptCredentials(sealed.jwe, unseal(sealed), release)).toEqual(credentials);
  });

  it('has the policy of the protocol, in its order', () => {
    const { policy } = check(sealed);
    const boot = { operand: new Uint8Array([0, 0, 0, 7, 0, 0, 0, 1]), offset: 16, operation: 0 };
    const clock = { operand: new Uint8Array([0, 0, 0, 0, 0, 0x0f, 0xb7, 0x70]), offset: 8, operation: 5 };
    const expected = PolicyDigest.start('sha256')
      .signed(
        objectName(sealed.policy.releaseKey),
        digest('sha256', Buffer.from(`sealgate/release/v1\0${release.executionId}`)),
      )
      .commandCode(0x15e)
      .counterTimer(boot)
      .counterTimer(clock)
      .pcr(terms.pcrSelection, policy.pcrDigest);
    expect(toHex(parsePublic(sealed.objectPublic).authPolicy)).toBe(toHex(expected.value));
  });

  it('has a protected header that names what it is for', () => {
    const header = Buffer.from(sealed.jwe.split('.')[0] ?? '', 'base64url').toString();
    expect(JSON.parse(header)).toEqual({
      alg: 'dir',
      enc: 'A256GCM',
      typ: 'sealgate-release+jwe',
      executionId: release.executionId,
      requestDigest: toBase64url(release.requestDigest),
      jti: release.jti,
    });
  });

  it('is new in every part that is random', async () => {
    const other = await sealCredentials(credentials, terms, random);
    expect(toHex(unseal(other))).not.toBe(toHex(unseal(sealed)));
    expect(toHex(other.policy.releaseKey)).not.toBe(toHex(sealed.policy.releaseKey));
    expect(toHex(other.encryptedSeed)).not.toBe(toHex(sealed.encryptedSeed));
    expect(other.jwe.split('.')[2]).not.toBe(sealed.jwe.split('.')[2]);
  });
});

describe('a renewal', () => {
  const renewalTerms: SealTerms = {
    ...terms,
    binding: renewal,
    pcrSelection: [{ bank: 'sha256', pcrs: [0, 7, 14] }],
  };
  const renewalOwn: OwnTerms = { ...own, binding: renewal };

  it('is sealed without PCR 23, under its own label', async () => {
    const sealed = await sealCredentials(credentials, renewalTerms, random);
    expect(checkSealed(sealed, renewalOwn).policy.policyRef).toHaveLength(32);
    expect(toHex(sealed.policy.policyRef)).toBe(
      toHex(digest('sha256', Buffer.from('sealgate/renewal/v1\0'), renewal.requestDigest)),
    );
    expect(await decryptCredentials(sealed.jwe, unseal(sealed), renewal)).toEqual(credentials);
    // Not as a release, nor for other authorizations.
    expectRefusal('sealed-selection', () => check(sealed));
    const others: RenewalBinding = { ...renewal, authorizations: renewal.authorizations.slice(1) };
    await expectRejection('sealed-credentials', decryptCredentials(sealed.jwe, unseal(sealed), others));
  });

  it('cannot be over the artifact’s PCR', async () => {
    const { pcrSelection } = terms;
    await expectRejection(
      'sealed-selection',
      sealCredentials(credentials, { ...renewalTerms, pcrSelection }, random),
    );
  });
});

describe('sealing refuses', () => {
  const seal = (changed: Partial<SealTerms>): Promise<unknown> =>
    sealCredentials(credentials, { ...terms, ...changed }, random);

  // A negative expiration asks the TPM for a ticket that works again (PROTOCOL 12).
  it.each([-1, -120, 0, 121, 1.5, Number.NaN, 2 ** 32 - 1])('an expiration of %s', async (expiration) => {
    await expectRejection('sealed-expiration', seal({ expiration }));
  });

  it.each([0, 15, 33])('a nonceTPM of %i bytes', async (length) => {
    await expectRejection('sealed-nonce', seal({ nonceTpm: new Uint8Array(length) }));
  });

  it.each<[string, PcrSelection]>([
    ['nothing', []],
    ['no PCR', [{ bank: 'sha256', pcrs: [] }]],
    ['PCR 10', [{ bank: 'sha256', pcrs: [0, 10, 23] }]],
    ['PCR 11', [{ bank: 'sha256', pcrs: [11, 23] }]],
    ['PCR 15', [{ bank: 'sha256', pcrs: [15, 23] }]],
    ['PCR 24', [{ bank: 'sha256', pcrs: [23, 24] }]],
    ['PCR 32', [{ bank: 'sha256', pcrs: [23, 32] }]],
    ['a repeated PCR', [{ bank: 'sha256', pcrs: [0, 0, 23] }]],
    ['descending PCRs', [{ bank: 'sha256', pcrs: [23, 0] }]],
    ['the SHA-1 bank', [{ bank: 'sha1', pcrs: [0, 23] }]],
    ['no PCR 23', [{ bank: 'sha256', pcrs: [0, 7] }]],
    ['another bitmap', [{ bank: 'sha256', pcrs: [0, 23], sizeofSelect: 4 }]],
    [
      'one bank twice',
      [
        { bank: 'sha256', pcrs: [0] },
        { bank: 'sha256', pcrs: [23] },
      ],
    ],
  ])('a selection of %s', async (_, pcrSelection) => {
    // Refused for what it is: every PCR of the bank was quoted.
    const quotedPcr = () => sha256('value');
    await expectRejection('sealed-selection', seal({ pcrSelection, quotedPcr }));
  });

  it.each<[string, PcrSelection]>([
    ['a PCR', [{ bank: 'sha256', pcrs: [12, 23] }]],
    ['a bank', [{ bank: 'sha384', pcrs: [23] }]],
  ])('%s that was not quoted', async (_, pcrSelection) => {
    await expectRejection('sealed-selection', seal({ pcrSelection }));
  });

  it('a quoted value of another length', async () => {
    await expectRejection('sealed-selection', seal({ quotedPcr: () => new Uint8Array(20) }));
  });

  it('an EK that would decrypt for anybody', async () => {
    const open = { ...ek.area, attributes: objectAttributes('decrypt') };
    await expectRejection('wrapping-key', seal({ ek: open }));
  });

  it.each(['', '../x', release.executionId.toUpperCase(), '019a9e2c-7b1e-4c3d-8f20-1234567890ab'])(
    'the executionId %j',
    async (executionId) => {
      await expectRejection('malformed', seal({ binding: { ...release, executionId } }));
      const authorizations = [{ executionId, jti: 'x' }];
      expectRefusal('malformed', () => policyRefOf({ ...renewal, authorizations }));
    },
  );

  it('a requestDigest of another length', async () => {
    await expectRejection('malformed', seal({ binding: { ...release, requestDigest: new Uint8Array(31) } }));
  });
});

describe('a release key', () => {
  it('signs once and is forgotten', () => {
    const key = makeReleaseKey(random);
    const message = sha256('release');
    const area = parseReleaseKey(key.keyPublic);
    expect(isReleaseSignature(area, message, key.signOnce(message))).toBe(true);
    expect(() => key.signOnce(message)).toThrow('has signed and is forgotten');
    expect(isReleaseSignature(area, sha256('other'), makeReleaseKey(random).signOnce(message))).toBe(false);
  });

  it('comes from the given randomness', () => {
    const scalar = sha256('scalar');
    const make = () => toHex(makeReleaseKey(recordedRandom(scalar)).keyPublic);
    expect(make()).toBe(make());
    // A scalar that begins with zeros is as good as any.
    const small = makeReleaseKey(recordedRandom(new Uint8Array(32).fill(1, 30)));
    expect(isReleaseSignature(parseReleaseKey(small.keyPublic), scalar, small.signOnce(scalar))).toBe(true);
  });
});

describe('the host refuses, before the TPM sees anything', () => {
  let sealed: SealedCredentials;
  beforeAll(async () => {
    sealed = await sealCredentials(credentials, terms, random);
  });
  const withPolicy = (changed: Partial<SealedCredentials['policy']>): SealedCredentials => ({
    ...sealed,
    policy: { ...sealed.policy, ...changed },
  });

  it('another session', () => {
    expectRefusal('sealed-signature', () => checkSealed(sealed, { ...own, nonceTpm: sha256('other') }));
    expectRefusal('sealed-signature', () => checkSealed(sealed, { ...own, nonceTpm: new Uint8Array(0) }));
  });

  it('another execution, and a renewal in place of a release', () => {
    const executionId = '019a9e2c-7b1e-7c3d-8f20-1234567890ac';
    expectRefusal('sealed-policy-ref', () =>
      checkSealed(sealed, { ...own, binding: { ...release, executionId } }),
    );
    expectRefusal('sealed-selection', () => checkSealed(sealed, { ...own, binding: renewal }));
  });

  it.each([{ resetCount: 8 }, { restartCount: 0 }, { resetCount: 0, restartCount: 0 }])(
    'the boot %j',
    (boot) => {
      expectRefusal('sealed-boot', () => checkSealed(sealed, { ...own, quoted: { ...own.quoted, ...boot } }));
      expectRefusal('sealed-boot', () => check(withPolicy(boot)));
    },
  );

  it('another deadline', () => {
    expectRefusal('sealed-boot', () => check(withPolicy({ clockBefore: 2n ** 63n })));
    expectRefusal('sealed-boot', () => check(withPolicy({ expiration: 31 })));
    expectRefusal('sealed-boot', () => checkSealed(sealed, { ...own, quoted: { ...own.quoted, clock: 0n } }));
    for (const expiration of [-1, 0, 121]) {
      expectRefusal('sealed-expiration', () => check(withPolicy({ expiration })));
    }
    // A longer life, said consistently, still isn't what was signed and sealed.
    expectRefusal('sealed-policy', () => check(withPolicy({ expiration: 31, clockBefore: 1_031_000n })));
  });

  it('other PCRs: fewer, more, or with other values', () => {
    const fewer: PcrSelection = [{ bank: 'sha256', pcrs: [23] }];
    expectRefusal('sealed-policy', () => check(withPolicy({ pcrSelection: fewer })));
    const more: PcrSelection = [{ bank: 'sha256', pcrs: [0, 12, 23] }];
    expectRefusal('sealed-selection', () => check(withPolicy({ pcrSelection: more })));
    const quotedPcr = () => sha256('changed');
    expectRefusal('sealed-policy', () => checkSealed(sealed, { ...own, quotedPcr }));
  });

  it('credentials for another authorization, before the one opening is spent', async () => {
    const binding = { ...release, jti: 'authorization-2' };
    const other = await sealCredentials(credentials, { ...terms, binding }, random);
    expectRefusal('sealed-credentials', () => check({ ...sealed, jwe: other.jwe }));
  });

  it('another or another kind of release key', async () => {
    const other = await sealCredentials(credentials, terms, random);
    expectRefusal('sealed-policy', () => check(withPolicy({ releaseKey: other.policy.releaseKey })));
    const area = parsePublic(sealed.policy.releaseKey);
    const restricted = { ...area, attributes: objectAttributes('sign', 'restricted') };
    expectRefusal('sealed-signature', () => check(withPolicy({ releaseKey: encodePublic(restricted) })));
    expectRefusal('sealed-signature', () => check(withPolicy({ releaseKey: encodePublic(ek.area) })));
    expectRefusal('malformed', () => check(withPolicy({ releaseKey: new Uint8Array(3) })));
  });

  it('a signature that was made for another object or is none', async () => {
    const other = await sealCredentials(credentials, terms, random);
    expectRefusal('sealed-signature', () => check({ ...sealed, signature: other.signature }));
    for (let at = 4; at < sealed.signature.length; at += 7) {
      const signature = sealed.signature.map((byte, index) => (index === at ? byte ^ 1 : byte));
      expect(() => check({ ...sealed, signature }), `byte ${at}`).toThrow(Refusal);
    }
    const rsa = encodeSignature({ scheme: 'rsassa', hash: 'sha256', signature: new Uint8Array(256) });
    expectRefusal('sealed-signature', () => check({ ...sealed, signature: rsa }));
    const sha384 = encodeSignature({ scheme: 'ecdsa', hash: 'sha384', r: sha256('r'), s: sha256('s') });
    expectRefusal('sealed-signature', () => check({ ...sealed, signature: sha384 }));
    expectRefusal('malformed', () => check({ ...sealed, signature: new Uint8Array(0) }));
  });

  it('an object with other attributes, types or schemes', () => {
    const area = parsePublic(sealed.objectPublic);
    if (area.type !== 'keyedhash') throw new Error('another type');
    for (const attributes of [
      objectAttributes('userWithAuth', 'noDA'),
      objectAttributes('adminWithPolicy', 'noDA', 'userWithAuth'),
      objectAttributes('adminWithPolicy', 'noDA', 'fixedTPM', 'fixedParent'),
      objectAttributes('adminWithPolicy', 'noDA', 'sign'),
      objectAttributes('adminWithPolicy'),
      0,
    ]) {
      expectRefusal('sealed-object', () =>
        check({ ...sealed, objectPublic: encodePublic({ ...area, attributes }) }),
      );
    }
    const hmac = encodePublic({ ...area, scheme: { name: 'hmac', hash: 'sha256' } });
    expectRefusal('sealed-object', () => check({ ...sealed, objectPublic: hmac }));
    const other = encodePublic({ ...area, nameAlg: 'sha1' });
    expectRefusal('sealed-object', () => check({ ...sealed, objectPublic: other }));
    const open = encodePublic({ ...area, authPolicy: new Uint8Array(0) });
    expectRefusal('sealed-object', () => check({ ...sealed, objectPublic: open }));
    expectRefusal('sealed-object', () => check({ ...sealed, objectPublic: encodePublic(ek.area) }));
    expectRefusal('malformed', () => check({ ...sealed, objectPublic: sealed.objectPublic.slice(1) }));
  });

  it('another object with the same policy: the signature names it', () => {
    const blob = makeImportBlob(
      ek.area,
      new Uint8Array(32),
      parsePublic(sealed.objectPublic).authPolicy,
      random,
    );
    expectRefusal('sealed-signature', () => check({ ...sealed, ...blob }));
  });

  /** What somebody makes who has the wire form, but leaves out a part of the policy: CVE-2020-24455. */
  const weaker = (authPolicy: (policy: SealedPolicy) => Uint8Array): SealedCredentials => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x, y } = publicKey.export({ format: 'jwk' });
    const template = parsePublic(sealed.policy.releaseKey);
    if (template.type !== 'ecc') throw new Error('another type');
    const point = { x: Buffer.from(x ?? '', 'base64url'), y: Buffer.from(y ?? '', 'base64url') };
    const releaseKey = encodePublic({ ...template, ...point });
    const full: SealedPolicy = { ...check(sealed).policy, releaseKeyName: objectName(releaseKey) };
    const blob = makeImportBlob(ek.area, new Uint8Array(32), authPolicy(full), random);
    const { policyRef } = full;
    const message = releaseMessage({
      nonceTpm: own.nonceTpm,
      expiration: 30,
      objectName: blob.name,
      policyRef,
    });
    const raw = sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    const signature = encodeSignature({
      scheme: 'ecdsa',
      hash: 'sha256',
      r: raw.subarray(0, 32),
      s: raw.subarray(32),
    });
    return { ...sealed, ...blob, signature, policy: { ...sealed.policy, releaseKey } };
  };

  it('a policy that leaves one assertion out', () => {
    expect(check(weaker(sealedPolicyDigest))).toBeDefined();
    const start = PolicyDigest.start('sha256');
    const partial: ((policy: SealedPolicy) => PolicyDigest)[] = [
      (policy) => start.signed(policy.releaseKeyName, policy.policyRef),
      (policy) => start.signed(policy.releaseKeyName, policy.policyRef).commandCode(0x15e),
      (policy) => start.pcr(policy.pcrSelection, policy.pcrDigest),
      () => start,
    ];
    for (const assertions of partial) {
      expectRefusal('sealed-policy', () => check(weaker((policy) => assertions(policy).value)));
    }
  });
});

describe('the JWE', () => {
  let sealed: SealedCredentials;
  let key: Uint8Array;
  beforeAll(async () => {
    sealed = await sealCredentials(credentials, terms, random);
    key = unseal(sealed);
  });

  it('opens with its key and for its binding only', async () => {
    await expectRejection('sealed-credentials', decryptCredentials(sealed.jwe, random.bytes(32), release));
    await expectRejection('sealed-credentials', decryptCredentials(sealed.jwe, key.slice(0, 16), release));
    for (const binding of [
      { ...release, jti: 'other' },
      { ...release, requestDigest: sha256('other') },
      { ...release, executionId: '019a9e2c-7b1e-7c3d-8f20-1234567890ac' },
    ]) {
      await expectRejection('sealed-credentials', decryptCredentials(sealed.jwe, key, binding));
    }
  });

  it('is refused with any character changed', async () => {
    for (let at = 0; at < sealed.jwe.length; at++) {
      const swapped = sealed.jwe[at] === '_' ? '-' : '_';
      const changed = sealed.jwe.slice(0, at) + swapped + sealed.jwe.slice(at + 1);
      await expect(decryptCredentials(changed, key, release), `character ${at}`).rejects.toThrow(Refusal);
    }
    // The last character of a part has bits that decoding drops: another spelling of the same bytes is refused, too.
    const tag = sealed.jwe.slice(-1);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const spelled = sealed.jwe.slice(0, -1) + (alphabet[alphabet.indexOf(tag) ^ 1] ?? '');
    await expectRejection('malformed', decryptCredentials(spelled, key, release));
    await expect(decryptCredentials('', key, release)).rejects.toThrow(Refusal);
    await expect(decryptCredentials('A'.repeat(2 ** 20 + 1), key, release)).rejects.toThrow(Refusal);
  });

  it('is refused with another algorithm, compression or a further header member', async () => {
    const header = {
      alg: 'dir',
      enc: 'A256GCM',
      typ: 'sealgate-release+jwe',
      executionId: release.executionId,
      jti: release.jti,
      requestDigest: toBase64url(release.requestDigest),
    } as const;
    const make = (members: object): Promise<string> =>
      new CompactEncrypt(Buffer.from('{}')).setProtectedHeader({ ...header, ...members }).encrypt(key);
    expect(await decryptCredentials(await make({}), key, release)).toEqual({});
    await expectRejection('sealed-credentials', decryptCredentials(await make({ kid: 'x' }), key, release));
    await expectRejection('sealed-credentials', decryptCredentials(await make({ zip: 'DEF' }), key, release));
    const jws = await new SignJWT({}).setProtectedHeader({ alg: 'HS256' }).sign(key);
    await expectRejection('malformed', decryptCredentials(jws, key, release));
  });

  it('is refused when what it holds is no JSON object', async () => {
    const head = sealed.jwe.split('.')[0] ?? '';
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as { alg: string; enc: string };
    for (const content of ['[]', '{"a":1,"a":2}', 'x']) {
      const jwe = await new CompactEncrypt(Buffer.from(content)).setProtectedHeader(header).encrypt(key);
      await expectRejection('malformed', decryptCredentials(jwe, key, release));
    }
  });

  it('is not made larger than it may be received', async () => {
    await expect(sealCredentials({ big: 'x'.repeat(2 ** 20) }, terms, random)).rejects.toThrow(RangeError);
  });
});

describe('the wire form', () => {
  let sealed: SealedCredentials;
  let wire: JsonObject;
  beforeAll(async () => {
    sealed = await sealCredentials(credentials, terms, random);
    wire = encodeSealed(sealed);
  });

  it('comes back as it was, through JSON', () => {
    const parsed = parseSealed(JSON.parse(JSON.stringify(wire)) as JsonValue);
    expect(encodeSealed(parsed)).toEqual(wire);
    expect(check(parsed)).toBeDefined();
  });

  it('is a closed object: no member may be missing, unknown or of another type', () => {
    const policy = wire['policy'] as JsonObject;
    for (const [where, members] of [
      [(changed: JsonObject) => changed, wire],
      [(changed: JsonObject) => ({ ...wire, policy: changed }), policy],
    ] as const) {
      for (const name of Object.keys(members)) {
        const rest = Object.fromEntries(Object.entries(members).filter(([member]) => member !== name));
        expectRefusal('malformed', () => parseSealed(where(rest)));
        for (const value of [null, true, [], {}, '', -1, 1.5, '=', 'a b', `${'A'.repeat(2 ** 20)}A`]) {
          expectRefusal('malformed', () => parseSealed(where({ ...members, [name]: value })));
        }
      }
      expectRefusal('malformed', () => parseSealed(where({ ...members, extra: 1 })));
    }
    for (const value of [null, 1, 'x', []]) expectRefusal('malformed', () => parseSealed(value));
  });

  it.each<[string, JsonObject]>([
    ['an expiration over two minutes', { expiration: 121 }],
    ['an expiration of zero', { expiration: 0 }],
    ['a clock over 64 bits', { clockBefore: '18446744073709551616' }],
    ['a clock with a leading zero', { clockBefore: '01' }],
    ['a counter over 32 bits', { resetCount: 2 ** 32 }],
    ['a selection that is not in order', { pcrSelection: 'sha256:23,0' }],
    ['a selection by `all`', { pcrSelection: 'sha256:all' }],
    ['a PCR over 23', { pcrSelection: 'sha256:0,24' }],
    ['an unknown bank', { pcrSelection: 'md5:0' }],
  ])('refuses %s', (_, changed) => {
    const policy = { ...(wire['policy'] as JsonObject), ...changed };
    expectRefusal('malformed', () => parseSealed({ ...wire, policy }));
  });

  it('refuses a JWE with an encrypted key', () => {
    expectRefusal('malformed', () => parseSealed({ ...wire, jwe: 'AAAA.BBBB.CCCC.DDDD.EEEE' }));
  });
});
