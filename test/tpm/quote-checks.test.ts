import { describe, expect, it } from 'vitest';
import { Refusal, toHex } from '../../src/base/index.ts';
import {
  TPM_RH,
  encodeAttest,
  encodePublic,
  encodeSignature,
  examineQuote,
  handleName,
  importAttestationKey,
  importBareKey,
  importSizedAttestationKey,
  isVerifiedQuote,
  objectAttributes,
  pcrDigest,
  publicKeyObject,
  publicName,
  qualifiedName,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type { Attest, PcrSelection, QuoteAttest, QuoteExpectations } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import {
  NONCE,
  SELECTION,
  pcrValue,
  quoteOf,
  signedQuote,
  softwareAk,
  valuesOf,
} from '../support/software-ak.ts';
import type { SoftwareAk } from '../support/software-ak.ts';

const AK = softwareAk();
const EXPECTED: QuoteExpectations = { nonce: NONCE, selection: SELECTION };

/** Ids of all that failed. */
function failed(
  body: QuoteAttest = quoteOf(),
  expected: QuoteExpectations = EXPECTED,
  ak: SoftwareAk = AK,
): string[] {
  const evidence = { ...signedQuote(ak, body), pcrs: valuesOf(SELECTION) };
  return examineQuote(evidence, importAttestationKey(ak.publicBytes), expected).failures.map((f) => f.check);
}

/** The same over other bytes than an encoded quote, signed all the same. */
function failedRaw(attest: Uint8Array, signature = AK.sign(attest)): string[] {
  const key = importAttestationKey(AK.publicBytes);
  return examineQuote({ attest, signature }, key, EXPECTED).failures.map((f) => f.check);
}

const selecting = (pcrSelection: PcrSelection): QuoteAttest =>
  quoteOf(SELECTION, {
    attested: { type: 'quote', pcrSelection, pcrDigest: pcrDigest('sha256', pcrSelection, pcrValue) },
  });

describe('a sound quote', () => {
  it.each([
    ['ECDSA P-256', softwareAk()],
    ['ECDSA P-384', softwareAk({ curve: 'P-384' }, { name: 'ecdsa', hash: 'sha384' })],
    ['ECDSA P-521', softwareAk({ curve: 'P-521' }, { name: 'ecdsa', hash: 'sha512' })],
    ['RSASSA', softwareAk({ bits: 2048 })],
    ['RSAPSS', softwareAk({ bits: 3072 }, { name: 'rsapss', hash: 'sha384' })],
  ])('by %s verifies with nothing left unchecked', (_, ak) => {
    const hash = ak.area.type === 'ecc' || ak.area.type === 'rsa' ? ak.area.scheme : null;
    const scheme = hash !== null && hash.name !== 'rsaes' ? hash.hash : 'sha256';
    const body = quoteOf(SELECTION, {}, scheme);
    const verified = verifyQuote(
      { ...signedQuote(ak, body), pcrs: valuesOf(SELECTION) },
      importAttestationKey(ak.publicBytes),
      {
        ...EXPECTED,
        required: [{ bank: 'sha256', pcrs: [7] }],
        challenge: {
          nonceLength: 32,
          issuedTo: 'host',
          presentedBy: 'host',
          expiresAt: 10,
          now: 9,
          spent: false,
        },
        enrolled: { name: publicName(ak.area), revoked: false },
        qualifiedSigner: body.qualifiedSigner,
        lastClock: null,
        firmwareFloor: body.firmwareVersion,
      },
    );
    expect(verified.unchecked).toEqual([]);
    expect(verified.attest).toEqual(body);
    expect(isVerifiedQuote(verified)).toBe(true);
    expect(isVerifiedQuote(Object.assign({}, verified))).toBe(false);
  });

  it('is also read from a TPM2B_PUBLIC', () => {
    const sized = Uint8Array.of(0, AK.publicBytes.length, ...AK.publicBytes);
    expect(importSizedAttestationKey(sized).name).toEqual(publicName(AK.area));
  });

  it('without expectations says which checks were not made', () => {
    const key = importAttestationKey(AK.publicBytes);
    expect(verifyQuote(signedQuote(AK), key, { nonce: NONCE }).unchecked).toEqual([
      'e2',
      'e3',
      'e15',
      'e17',
      'e18',
      'e19',
      'e21',
      'e22',
    ]);
  });

  it('by a bare key names what only a TPM’s public area says', () => {
    const verified = verifyQuote(signedQuote(AK), importBareKey(publicKeyObject(AK.area)), EXPECTED);
    expect(verified.unchecked).toEqual(expect.arrayContaining(['e4', 'e5', 'e7', 'e9', 'e10']));
  });
});

describe('transport and key', () => {
  it('e1: sizes are bounded before anything is parsed', () => {
    const large = new Uint8Array(4097);
    expect(failedRaw(large, large)).toEqual(['e1']);
    expectRefusal('e1', () => importAttestationKey(large));
    expectRefusal('e1', () => importSizedAttestationKey(large));
  });

  const challenge = {
    nonceLength: 16,
    issuedTo: 'a',
    presentedBy: 'a',
    expiresAt: 1000,
    now: 999,
    spent: false,
  };
  it.each([
    ['short', { nonceLength: 15 }, 'e2'],
    ['of another host', { presentedBy: 'b' }, 'e2'],
    ['expired', { now: 1000 }, 'e2'],
    ['presented before', { spent: true }, 'e2-spent'],
  ])('e2: a nonce that is %s', (_, change, check) => {
    expect(failed(quoteOf(), { ...EXPECTED, challenge })).toEqual([]);
    expect(failed(quoteOf(), { ...EXPECTED, challenge: { ...challenge, ...change } })).toEqual([check]);
  });

  it('e3: another key than the enrolled one, a revoked one, and a bare one', () => {
    const name = publicName(AK.area);
    expect(failed(quoteOf(), { ...EXPECTED, enrolled: { name, revoked: false } })).toEqual([]);
    expect(failed(quoteOf(), { ...EXPECTED, enrolled: { name, revoked: true } })).toEqual(['e3-revoked']);
    const other = { name: name.slice().fill(1, 2), revoked: false };
    expect(failed(quoteOf(), { ...EXPECTED, enrolled: other })).toEqual(['e3']);
    const bare = importBareKey(publicKeyObject(AK.area));
    expectRefusal('e3', () =>
      verifyQuote(signedQuote(AK), bare, { ...EXPECTED, enrolled: { name, revoked: false } }),
    );
  });

  it('e4: a public area that is cut, longer, of another size, or not one', () => {
    const { publicBytes } = AK;
    expectRefusal('e4', () => importAttestationKey(publicBytes.slice(0, -1)));
    expectRefusal('e4', () => importAttestationKey(Uint8Array.of(...publicBytes, 0)));
    expectRefusal('e4', () => importSizedAttestationKey(Uint8Array.of(0, 200, ...publicBytes)));
    expectRefusal('e4', () => importSizedAttestationKey(Uint8Array.of(0, 10, ...publicBytes)));
    expectRefusal('e4', () => importAttestationKey(new Uint8Array()));
  });

  it('e5: a key without the attributes of an attestation key', () => {
    const sign = softwareAk(undefined, undefined, { attributes: objectAttributes('sign', 'fixedTPM') });
    expect(failed(quoteOf(), EXPECTED, sign)).toEqual(['e5']);
  });

  it('e5: a restricted key without a scheme could sign with any', () => {
    const schemeless = softwareAk(undefined, undefined, { scheme: null });
    expect(failed(quoteOf(), EXPECTED, schemeless)).toEqual(['e5']);
  });

  it.each([
    ['RSA of 1024 bits', softwareAk({ bits: 1024 }).area],
    ['an exponent of 3', { ...softwareAk({ bits: 2048 }).area, exponent: 3 }],
    ['keyBits that the modulus does not have', { ...softwareAk({ bits: 2048 }).area, keyBits: 3072 }],
    [
      'a modulus with a leading zero',
      { ...softwareAk({ bits: 2048 }).area, modulus: new Uint8Array(256).fill(1, 1) },
    ],
    ['an even modulus', { ...softwareAk({ bits: 2048 }).area, modulus: new Uint8Array(256).fill(0x80) }],
    ['a point off the curve', { ...AK.area, y: new Uint8Array(32).fill(1) }],
    ['the point at infinity', { ...AK.area, x: new Uint8Array(), y: new Uint8Array() }],
    ['coordinates not below p', { ...AK.area, x: new Uint8Array(32).fill(0xff) }],
    [
      'P-224',
      { ...AK.area, curve: 'P-224', x: new Uint8Array(28).fill(1), y: new Uint8Array(28).fill(1) } as const,
    ],
    ['a keyed hash', { ...AK.area, type: 'keyedhash', scheme: null, unique: new Uint8Array(32) } as const],
  ])('e6: %s', (_, area) => {
    const key = importAttestationKey(encodePublic(area));
    expect(key.verifying).toBeNull();
    const { failures, verified } = examineQuote(signedQuote(AK), key, EXPECTED);
    expect(failures.map(({ check }) => check)).toContain('e6');
    expect(verified).toBeNull();
  });

  it('e6: an exponent written out as 65537 is the default one', () => {
    const area = { ...softwareAk({ bits: 2048 }).area, exponent: 65537 };
    expect(importAttestationKey(encodePublic(area)).failures).toEqual([]);
  });

  it('e6: bare keys are held to the same strength', () => {
    const weak = importBareKey(publicKeyObject(softwareAk({ bits: 1024 }).area));
    expectRefusal('e6', () => verifyQuote(signedQuote(AK), weak, EXPECTED));
  });

  it('e7: a name that is a SHA-1 digest', () => {
    const weak = softwareAk(undefined, undefined, { nameAlg: 'sha1' });
    expect(failed(quoteOf(), EXPECTED, weak)).toEqual(['e7']);
  });
});

describe('signature', () => {
  const attest = encodeAttest(quoteOf());
  const good = AK.sign(attest);

  it('e8: cut, longer, unknown, or none', () => {
    expect(failedRaw(attest, good.slice(0, -1))).toEqual(['e8']);
    expect(failedRaw(attest, Uint8Array.of(...good, 0))).toEqual(['e8']);
    expect(failedRaw(attest, Uint8Array.of(0, 0x99, ...good.slice(2)))).toEqual(['e8']);
    expect(failedRaw(attest, Uint8Array.of(0, 0x10))).toEqual(['e8']);
    expect(failedRaw(attest, new Uint8Array())).toEqual(['e8']);
  });

  it('e9: by another scheme than the key’s', () => {
    const rsassa = softwareAk({ bits: 2048 });
    const key = importAttestationKey(rsassa.publicBytes);
    const pss = { attest, signature: rsassa.sign(attest, { scheme: 'rsapss' }) };
    expectRefusal('e9', () => verifyQuote(pss, key, EXPECTED));
    expectRefusal('e9', () => verifyQuote({ attest, signature: good }, key, EXPECTED));
    expect(failedRaw(attest, rsassa.sign(attest))).toEqual(['e9']);
  });

  it('e9: by another type of key, when the key is bare', () => {
    const bare = importBareKey(publicKeyObject(softwareAk({ bits: 2048 }).area));
    expectRefusal('e9', () => verifyQuote({ attest, signature: good }, bare, EXPECTED));
  });

  it('e10: over another hash than the key’s, or over SHA-1', () => {
    expect(failedRaw(attest, AK.sign(attest, { hash: 'sha384' }))).toEqual(['e10']);
    expect(failedRaw(attest, AK.sign(attest, { hash: 'sha1' }))).toEqual(['e10']);
    const sha1 = softwareAk(undefined, { name: 'ecdsa', hash: 'sha1' });
    expect(failed(quoteOf(SELECTION, {}, 'sha1'), EXPECTED, sha1)).toEqual(['e10']);
  });

  it('e10: SHA-1 also with a bare key', () => {
    const evidence = { attest, signature: AK.sign(attest, { hash: 'sha1' }) };
    expectRefusal('e10', () => verifyQuote(evidence, importBareKey(publicKeyObject(AK.area)), EXPECTED));
  });

  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const bytes = (value: bigint, length = 32) =>
    new Uint8Array(Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex'));
  it.each([
    ['r = 0', 0n, 5n],
    ['s = 0', 5n, 0n],
    ['r = n', n, 5n],
    ['s = n', 5n, n],
    ['r > n', n + 1n, 5n],
  ])('e11: ECDSA with %s', (_, r, s) => {
    const signature = encodeSignature({ scheme: 'ecdsa', hash: 'sha256', r: bytes(r), s: bytes(s) });
    expect(failedRaw(attest, signature)).toEqual(['e11']);
  });

  it('e11: ECDSA with empty or overlong numbers', () => {
    const empty = { scheme: 'ecdsa', hash: 'sha256', r: new Uint8Array(), s: bytes(5n) } as const;
    expect(failedRaw(attest, encodeSignature(empty))).toEqual(['e11']);
    const long = { scheme: 'ecdsa', hash: 'sha256', r: bytes(5n, 33), s: bytes(5n) } as const;
    expect(failedRaw(attest, encodeSignature(long))).toEqual(['e11']);
  });

  it('e11: RSA shorter or longer than the modulus', () => {
    const rsassa = softwareAk({ bits: 2048 });
    const key = importAttestationKey(rsassa.publicBytes);
    for (const length of [0, 255, 257]) {
      const signature = encodeSignature({
        scheme: 'rsassa',
        hash: 'sha256',
        signature: new Uint8Array(length).fill(1),
      });
      expectRefusal('e11', () => verifyQuote({ attest, signature }, key, EXPECTED));
    }
  });

  it('keys of different curves by turns: no signature is read with a rest of the one before', () => {
    const turns = [
      { ak: softwareAk({ curve: 'P-521' }, { name: 'ecdsa', hash: 'sha512' }), hash: 'sha512' as const },
      { ak: AK, hash: 'sha256' as const },
      { ak: softwareAk({ curve: 'P-384' }, { name: 'ecdsa', hash: 'sha384' }), hash: 'sha384' as const },
    ];
    for (let i = 0; i < 60; i++) {
      const { ak, hash } = turns[i % turns.length]!;
      expect(failed(quoteOf(SELECTION, {}, hash), EXPECTED, ak)).toEqual([]);
    }
  });
  it('numbers that a TPM wrote without leading zeros are the same numbers', () => {
    const parsed = { scheme: 'ecdsa', hash: 'sha256', r: bytes(1n, 1), s: bytes(1n, 1) } as const;
    expect(failedRaw(attest, encodeSignature(parsed))).toEqual(['e12']);
  });

  it('e12: by another key, or with a bit changed in signature or attested bytes', () => {
    const other = softwareAk({ curve: 'P-384' }, { name: 'ecdsa', hash: 'sha256' });
    expect(failedRaw(attest, softwareAk({ curve: 'P-256' }).sign(attest.slice(0, -1)))).toEqual(['e12']);
    expectRefusal('e12', () =>
      verifyQuote(
        { attest, signature: other.sign(attest.slice(1)) },
        importAttestationKey(other.publicBytes),
        EXPECTED,
      ),
    );
    const flipped = good.slice();
    flipped[20] = (flipped[20] ?? 0) ^ 1;
    expect(failedRaw(attest, flipped)).toEqual(['e12']);
    for (let at = 6; at < attest.length; at++) {
      const changed = attest.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      const checks = failedRaw(changed, good);
      expect(checks.includes('e12') || checks.includes('e20'), `byte ${at}: ${checks.join()}`).toBe(true);
    }
  });
});

describe('body', () => {
  it('e13: the same bytes without TPM_GENERATED_VALUE, signed by the key', () => {
    const forged = encodeAttest(quoteOf());
    forged[0] = 0;
    expect(failedRaw(forged)).toEqual(['e13']);
  });

  it.each<[string, Attest['attested']]>([
    ['certify', { type: 'certify', name: new Uint8Array(34), qualifiedName: new Uint8Array(34) }],
    ['creation', { type: 'creation', objectName: new Uint8Array(34), creationHash: new Uint8Array(32) }],
    ['time', { type: 'time', time: { time: 1n, clockInfo: quoteOf().clockInfo }, firmwareVersion: 1n }],
    ['nv', { type: 'nv', indexName: new Uint8Array(34), offset: 0, contents: new Uint8Array(64) }],
    ['session-audit', { type: 'session-audit', exclusive: true, sessionDigest: new Uint8Array(32) }],
  ])('e14: a %s attestation that the key signed', (_, attested) => {
    expect(failedRaw(encodeAttest({ ...quoteOf(), attested }))).toEqual(['e14']);
  });

  it('e15: a key outside the endorsement hierarchy', () => {
    const name = publicName(AK.area);
    const qualifiedSigner = qualifiedName(handleName(TPM_RH.ENDORSEMENT), name);
    const inOwner = quoteOf(SELECTION, {
      qualifiedSigner: qualifiedName(handleName(TPM_RH.OWNER), name),
    });
    expect(failed(quoteOf(SELECTION, { qualifiedSigner }), { ...EXPECTED, qualifiedSigner })).toEqual([]);
    expect(failed(inOwner, { ...EXPECTED, qualifiedSigner })).toEqual(['e15']);
  });

  it('e16: another nonce, one that only begins the same, an empty one', () => {
    expect(failed(quoteOf(SELECTION, { extraData: NONCE.slice().fill(0, 31) }))).toEqual(['e16']);
    expect(failed(quoteOf(SELECTION, { extraData: NONCE.slice(0, 16) }))).toEqual(['e16']);
    const empty = new Uint8Array();
    expect(failed(quoteOf(SELECTION, { extraData: empty }), { ...EXPECTED, nonce: empty })).toEqual(['e16']);
  });

  it('e17: counters that went back', () => {
    const { clockInfo } = quoteOf();
    expect(failed(quoteOf(), { ...EXPECTED, lastClock: { ...clockInfo, clock: 999n } })).toEqual([]);
    expect(failed(quoteOf(), { ...EXPECTED, lastClock: clockInfo })).toEqual(['e17']);
  });

  it('e18: firmware under the floor', () => {
    const floor = quoteOf().firmwareVersion;
    expect(failed(quoteOf(), { ...EXPECTED, firmwareFloor: floor })).toEqual([]);
    expect(failed(quoteOf(), { ...EXPECTED, firmwareFloor: floor + 1n })).toEqual(['e18']);
  });

  it.each<[string, PcrSelection]>([
    ['no bank', []],
    ['an empty bank', [{ bank: 'sha256', pcrs: [] }]],
    ['SHA-1 alone', [{ bank: 'sha1', pcrs: [0, 1, 7] }]],
    [
      'a bank twice',
      [
        { bank: 'sha256', pcrs: [0] },
        { bank: 'sha256', pcrs: [1] },
      ],
    ],
    ['PCR 24', [{ bank: 'sha256', pcrs: [0, 24], sizeofSelect: 4 }]],
    ['a bitmap of five bytes', [{ bank: 'sha256', pcrs: [0], sizeofSelect: 5 }]],
  ])('e19: a selection with %s', (_, selection) => {
    const evidence = signedQuote(AK, selecting(selection));
    const key = importAttestationKey(AK.publicBytes);
    expectRefusal('e19', () => verifyQuote(evidence, key, { nonce: NONCE }));
  });

  it('e19: bitmaps of one to four bytes are read alike', () => {
    for (const sizeofSelect of [1, 2, 4]) {
      const body = selecting([{ bank: 'sha256', pcrs: [0, 1, 7], sizeofSelect }]);
      expect(failed(body)).toEqual([]);
    }
  });

  it.each<[string, PcrSelection]>([
    ['fewer PCRs', [{ bank: 'sha256', pcrs: [0, 1] }]],
    ['more PCRs', [{ bank: 'sha256', pcrs: [0, 1, 2, 7] }]],
    ['other PCRs', [{ bank: 'sha256', pcrs: [0, 1, 8] }]],
    ['another bank', [{ bank: 'sha384', pcrs: [0, 1, 7] }]],
    [
      'one bank more',
      [
        { bank: 'sha256', pcrs: [0, 1, 7] },
        { bank: 'sha384', pcrs: [0] },
      ],
    ],
  ])('e19: %s than were asked for', (_, selection) => {
    const evidence = signedQuote(AK, selecting(selection));
    expectRefusal('e19', () => verifyQuote(evidence, importAttestationKey(AK.publicBytes), EXPECTED));
  });

  it('e19: without PCRs that policy requires', () => {
    const required: PcrSelection = [{ bank: 'sha256', pcrs: [7, 14] }];
    expect(failed(quoteOf(), { ...EXPECTED, required })).toEqual(['e19']);
    expect(failed(quoteOf(), { ...EXPECTED, required: [{ bank: 'sha384', pcrs: [7] }] })).toEqual(['e19']);
  });

  it('e19: a requested selection that names a bank twice equals none', () => {
    const twice: PcrSelection = [...SELECTION, ...SELECTION];
    expect(failed(quoteOf(), { nonce: NONCE, selection: twice })).toEqual(['e19']);
  });

  it('e20: trailing bytes, a cut structure, a flag that is neither yes nor no', () => {
    const attest = encodeAttest(quoteOf());
    expect(failedRaw(Uint8Array.of(...attest, 0))).toEqual(['e20']);
    expect(failedRaw(attest.slice(0, -1))).toEqual(['e20']);
    expect(failedRaw(attest.slice(0, 5))).toEqual(['e20']);
    const safeAt = 4 + 2 + 2 + 34 + 2 + 32 + 8 + 4 + 4;
    const odd = attest.slice();
    odd[safeAt] = 2;
    expect(failedRaw(odd)).toEqual(['e20']);
  });

  it('e20: bytes that are no structure and that nobody signed; what the key signed is e13', () => {
    const text = new TextEncoder().encode('this is no TPM structure at all, but some text');
    expect(failedRaw(text, AK.sign(NONCE))).toEqual(['e20']);
    expect(failedRaw(text)).toEqual(['e13', 'e14']);
    const otherMagic = encodeAttest(quoteOf());
    otherMagic[3] = 0;
    expect(failedRaw(otherMagic, AK.sign(NONCE))).toEqual(['e12', 'e13']);
  });

  it('every truncation is refused', () => {
    const attest = encodeAttest(quoteOf());
    for (let length = 0; length < attest.length; length++) {
      expect(failedRaw(attest.slice(0, length)), `cut at ${length}`).toEqual(['e20']);
    }
  });
});

describe('values', () => {
  const key = importAttestationKey(AK.publicBytes);
  const quote = signedQuote(AK);
  const check = (change: (values: ReturnType<typeof valuesOf>) => void): Refusal => {
    const pcrs = valuesOf(SELECTION);
    change(pcrs);
    return examineQuote({ ...quote, pcrs }, key, EXPECTED).failures[0] ?? new Refusal('none', 'passed');
  };

  it('e21: one PCR more than was quoted', () => {
    const refusal = check((pcrs) => pcrs.get('sha256')!.set(8, pcrValue('sha256', 8)));
    expect(refusal).toMatchObject({ check: 'e21', detail: { notQuoted: ['sha256:8'], missing: [] } });
  });

  it('e21: a bank more than was quoted', () => {
    const refusal = check((pcrs) => pcrs.set('sha384', new Map([[0, pcrValue('sha384', 0)]])));
    expect(refusal).toMatchObject({ check: 'e21', detail: { notQuoted: ['sha384:0'] } });
  });

  it('e21: one PCR fewer, or none', () => {
    const refusal = check((pcrs) => pcrs.get('sha256')!.delete(7));
    expect(refusal).toMatchObject({ check: 'e21', detail: { missing: ['sha256:7'] } });
    expect(
      check((pcrs) => {
        pcrs.clear();
      }).check,
    ).toBe('e21');
  });

  it('e21: a value of another size', () => {
    const refusal = check((pcrs) => pcrs.get('sha256')!.set(1, new Uint8Array(31)));
    expect(refusal).toMatchObject({ check: 'e21', detail: { wrongSize: ['sha256:1'] } });
  });

  it('e21: values that together have the right bytes but are cut elsewhere', () => {
    const refusal = check((pcrs) => {
      const bank = pcrs.get('sha256')!;
      bank.set(0, Uint8Array.of(...bank.get(0)!, 2));
      bank.set(1, bank.get(1)!.slice(1));
    });
    expect(refusal.check).toBe('e21');
  });

  it('e22: another value, and two values exchanged', () => {
    expect(check((pcrs) => pcrs.get('sha256')!.get(7)!.fill(0)).check).toBe('e22');
    const swapped = check((pcrs) => {
      pcrs.get('sha256')!.set(0, pcrValue('sha256', 1)).set(1, pcrValue('sha256', 0));
    });
    expect(swapped.check).toBe('e22');
  });

  it('e22: a digest that is wrong in one bit of one byte, cut short, or longer', () => {
    const signed = pcrDigest('sha256', SELECTION, pcrValue);
    const check = (digest: Uint8Array): string[] =>
      failed(quoteOf(SELECTION, { attested: { type: 'quote', pcrSelection: SELECTION, pcrDigest: digest } }));
    expect(check(signed)).toEqual([]);
    for (let at = 0; at < signed.length; at++) {
      const changed = signed.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(check(changed)).toEqual(['e22']);
    }
    expect(check(signed.slice(0, -1))).toEqual(['e22']);
    expect(check(new Uint8Array([...signed, 0]))).toEqual(['e22']);
    expect(check(new Uint8Array())).toEqual(['e22']);
  });
  it('a quote’s values stay its own when others are verified after it', () => {
    const quote = { ...signedQuote(AK), pcrs: valuesOf(SELECTION) };
    const { pcrs } = verifyQuote(quote, key, EXPECTED);
    const other: PcrSelection = [{ bank: 'sha256', pcrs: Array.from({ length: 24 }, (_, index) => index) }];
    const later = { ...signedQuote(AK, quoteOf(other)), pcrs: valuesOf(other) };
    for (let i = 0; i < 50; i++) verifyQuote(later, key, { nonce: NONCE, selection: other });
    quote.pcrs.get('sha256')?.get(7)?.fill(0);
    expect([...(pcrs ?? [])].map(({ index, value }) => [index, value])).toEqual(
      [0, 1, 7].map((index) => [index, pcrValue('sha256', index)]),
    );
  });
  it('e19 alone: a selection of PCRs over 23 whose values take more than 16 KiB', () => {
    const indexes = Array.from({ length: 300 }, (_, index) => index);
    const selection: PcrSelection = [{ bank: 'sha512', pcrs: indexes, sizeofSelect: 255 }];
    const quote = { ...signedQuote(AK, quoteOf(selection)), pcrs: valuesOf(selection) };
    expect(examineQuote(quote, key, { nonce: NONCE }).failures.map(({ check }) => check)).toEqual(['e19']);
  });
  it('e22: the digest is by the scheme’s hash, not by the bank’s', () => {
    const selection: PcrSelection = [{ bank: 'sha384', pcrs: [0] }];
    const byBank = quoteOf(selection, {}, 'sha384');
    const pcrs = valuesOf(selection);
    expectRefusal('e22', () => verifyQuote({ ...signedQuote(AK, byBank), pcrs }, key, { nonce: NONCE }));
    const bySignature = signedQuote(AK, quoteOf(selection));
    expect(verifyQuote({ ...bySignature, pcrs }, key, { nonce: NONCE }).pcrs).not.toBeNull();
  });

  it('e23: only what was quoted can be had, and nobody can change it', () => {
    const pcrs = valuesOf(SELECTION);
    const verified = verifyQuote({ ...quote, pcrs }, key, EXPECTED).pcrs!;
    expect(verified.get('sha256', 8)).toBeUndefined();
    expect(verified.get('sha384', 0)).toBeUndefined();
    expect([...verified].map(({ index }) => index)).toEqual([0, 1, 7]);
    pcrs.get('sha256')!.get(0)!.fill(0xee);
    verified.get('sha256', 0)!.fill(0xee);
    expect(toHex(verified.get('sha256', 0)!)).toBe('01'.repeat(32));
  });

  it('values of a quote that fails elsewhere are not established', () => {
    const evidence = { ...quote, pcrs: valuesOf(SELECTION) };
    const wrongNonce = examineQuote(evidence, key, { nonce: NONCE.slice(1) });
    expect(wrongNonce).toMatchObject({ verified: null });
    expect(wrongNonce.pcrs).not.toBeNull(); // signed values, though not fresh
    const wrongKey = examineQuote(evidence, importAttestationKey(softwareAk({ bits: 2048 }).publicBytes), {
      nonce: NONCE,
    });
    expect(wrongKey).toMatchObject({ verified: null, signed: null, pcrs: null });
  });
});

it('everything that fails is reported, in the order of the checks', () => {
  const body = quoteOf([{ bank: 'sha1', pcrs: [0] }], { extraData: NONCE.slice(2), firmwareVersion: 0n });
  const unrestricted = softwareAk(undefined, undefined, { attributes: objectAttributes('sign') });
  const refusal = expectRefusal('e5', () =>
    verifyQuote(
      { ...signedQuote(unrestricted, body), pcrs: valuesOf(SELECTION) },
      importAttestationKey(unrestricted.publicBytes),
      { ...EXPECTED, firmwareFloor: 1n, lastClock: body.clockInfo },
    ),
  );
  expect(refusal.failures.map(({ check }) => check)).toEqual(['e5', 'e16', 'e17', 'e18', 'e19', 'e21']);
});
