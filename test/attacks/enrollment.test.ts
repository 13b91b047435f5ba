import { beforeEach, describe, expect, it } from 'vitest';
import { toBase64url, toHex } from '../../src/base/index.ts';
import type { JsonObject } from '../../src/base/index.ts';
import { CREDENTIAL_CHALLENGE_MS, challengeMemory, revokeHost } from '../../src/enrollment/index.ts';
import {
  EK_TEMPLATES,
  TPM_RH,
  encodePublic,
  handleName,
  objectAttributes,
  objectName,
  qualifiedName,
} from '../../src/tpm/index.ts';
import type { PublicArea } from '../../src/tpm/index.ts';
import { parseCertificate } from '../../src/x509/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { NOW, SELECTION, TestDesk, bob, text } from '../enrollment/desk.ts';
import { SoftwareHost, certifyEk, ekFactory, pcrsOf, softwareAk } from '../enrollment/software-host.ts';
import type { AnswerChanges } from '../enrollment/software-host.ts';

const factory = ekFactory(NOW);
let desk: TestDesk;
let host: SoftwareHost;
let stranger: SoftwareHost;
beforeEach(async () => {
  desk = await TestDesk.open([factory.certificate]);
  host = new SoftwareHost(factory, NOW);
  stranger = new SoftwareHost(factory, NOW);
});

const sized = (area: PublicArea): string => {
  const bytes = encodePublic(area);
  return toBase64url(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff, ...bytes));
};

describe('CVE-2025-13609: the same id with another TPM', () => {
  let before: JsonObject | undefined;
  beforeEach(async () => {
    await desk.enrolled(host, host.request({ token: await desk.invite() }));
    before = (await desk.row(host.id))?.body;
  });

  it.each([
    ['another AK', () => ({ akPublic: stranger.request()['akPublic'] })],
    ['another agent key', () => ({ agentPublic: stranger.request()['agentPublic'] })],
    ['no EK certificate', () => ({ ekCertificate: undefined })],
  ])('same EK with %s is refused, and the record untouched', async (_, change) => {
    const token = await desk.invite({ name: 'host-b', ek: host.id });
    const request = host.request({ token, name: 'host-b', ...(change() as Record<string, string>) });
    await expectRejection('enroll-host-known', desk.begin(request));
    expect((await desk.row(host.id))?.body).toEqual(before);
  });

  it('same EK with a newer certificate is refused, also with an invitation for the host', async () => {
    const token = await desk.invite({ host: host.id });
    const ekCertificate = toBase64url(certifyEk(factory, host.ek.area, NOW));
    await expectRejection('enroll-ek-key', desk.begin(host.request({ token, ekCertificate })));
    expect((await desk.row(host.id))?.body).toEqual(before);
  });

  it('another EK doesn’t take the name, not even when both were invited before', async () => {
    const fresh = await TestDesk.open([factory.certificate]);
    const [first, second] = [await fresh.invite(), await fresh.invite()];
    await fresh.enrolled(host, host.request({ token: first }));
    await expectRejection('enroll-name-taken', fresh.begin(stranger.request({ token: second })));
  });

  it('another EK doesn’t take the AK', async () => {
    stranger.ak = host.ak;
    const token = await desk.invite({ name: 'host-b' });
    await expectRejection('enroll-ak-known', desk.begin(stranger.request({ token, name: 'host-b' })));
    expect((await desk.row(host.id))?.body).toEqual(before);
  });
});

describe('CVE-2023-38201: a failed activation', () => {
  it.each([
    ['another secret', new Uint8Array(32).fill(1)],
    ['the secret but for a bit', undefined],
  ])('with %s says nothing and burns the challenge', async (_, given) => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const right = host.open(offer) ?? new Uint8Array();
    const wrong = given ?? right.map((byte, at) => (at === 31 ? byte ^ 1 : byte));
    const refusal = await expectRejection(
      'enroll-secret',
      desk.activate(offer, host.answer(offer, request, { secret: wrong })),
    );
    expect(refusal.detail).toEqual({});
    expect(JSON.stringify(refusal.plain())).not.toContain(toBase64url(right));
    await expectRejection('enroll-challenge', desk.activate(offer, host.answer(offer, request)));
    expect(await desk.row(host.id)).toBeUndefined();
  });

  it('is burnt by an answer that doesn’t even parse', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    await expectRejection('enroll-form', desk.activate(offer, {}));
    await expectRejection('enroll-challenge', desk.activate(offer, host.answer(offer, request)));
  });

  it('leaves the token for the next try', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    await expectRejection('enroll-form', desk.activate(offer, {}));
    expect((await desk.enrolled(host, request)).host.state).toBe('active');
  });

  it('is not opened by a TPM with another AK, or another EK', async () => {
    const offer = await desk.begin(host.request({ token: await desk.invite() }));
    expect(host.open(offer, objectName(stranger.ak.publicBytes))).toBeUndefined();
    expect(stranger.open(offer, objectName(host.ak.publicBytes))).toBeUndefined();
    // The name has every attribute of the AK in it.
    const weaker = objectAttributes('userWithAuth', 'restricted', 'sign');
    expect(host.open(offer, objectName(softwareAk(weaker).publicBytes))).toBeUndefined();
  });
});

describe('CVE-2022-1053: EK certificate, EK and AK are one', () => {
  it('a genuine certificate beside a key in software is refused', async () => {
    const software = new SoftwareHost(undefined, NOW);
    const token = await desk.invite();
    const genuine = text(host.request(), 'ekCertificate');
    await expectRejection('enroll-ek-key', desk.begin(software.request({ token, ekCertificate: genuine })));
  });

  it('a key in software without a certificate is refused', async () => {
    const software = new SoftwareHost(undefined, NOW);
    const token = await desk.invite();
    await expectRejection('enroll-ek-certificate', desk.begin(software.request({ token })));
  });

  it('a key in software that its maker certified is refused', async () => {
    const own = new SoftwareHost(ekFactory(NOW, 'Somebody'), NOW);
    await expectRejection('x509-untrusted', desk.begin(own.request({ token: await desk.invite() })));
    const none = await TestDesk.open([]);
    const token = await none.invite();
    await expectRejection('x509-no-anchors', none.begin(host.request({ token })));
  });

  it('a revoked authority is not believed', async () => {
    const root = parseCertificate(factory.certificate);
    const trust = { anchors: [root], pool: [], revoked: new Set([root.fingerprint]) };
    const strict = await TestDesk.open([], { trust });
    const token = await strict.invite();
    await expectRejection('enroll-ek-authority', strict.begin(host.request({ token })));
  });

  it('a chain without its certificate is refused', async () => {
    const token = await desk.invite();
    const request = host.request({ token, ekCertificate: undefined, ekChain: ['AAAA'] });
    await expectRejection('enroll-form', desk.begin(request));
  });
});

describe('an endorsement key that no template makes', () => {
  const { area } = new SoftwareHost(undefined, NOW).ek;
  const withAuth = area.attributes | objectAttributes('userWithAuth');
  const unrestricted = area.attributes & ~objectAttributes('restricted');
  it.each([
    ['userWithAuth', { ...area, attributes: withAuth }],
    ['no restriction', { ...area, attributes: unrestricted }],
    ['no policy', { ...area, authPolicy: new Uint8Array(0) }],
    ['another policy', { ...area, authPolicy: new Uint8Array(32) }],
    ['a cipher of another strength', { ...area, symmetric: { algorithm: 'aes', keyBits: 256, mode: 'cfb' } }],
    ['another name algorithm', { ...area, nameAlg: 'sha1', authPolicy: area.authPolicy.slice(0, 20) }],
  ] as const)('with %s is refused, listed or not', async (_, forged) => {
    const token = await desk.invite();
    await expectRejection('enroll-ek', desk.begin(host.request({ token, ekPublic: sized(forged) })));
  });

  it('a signing key is none', async () => {
    const token = await desk.invite();
    const request = host.request({ token, ekPublic: text(host.request(), 'akPublic') });
    await expectRejection('enroll-ek', desk.begin(request));
  });

  it('an RSA modulus of the ROCA kind is refused without any certificate', async () => {
    const rsa = EK_TEMPLATES.find(({ name }) => name === 'L-1')?.public;
    if (rsa?.type !== 'rsa') throw new Error('no RSA template');
    // 65537^a mod each small prime, by a modulus that is a power of 65537 in 2048 bits.
    let modulus = 1n;
    while (modulus.toString(2).length < 2033) modulus *= 65537n;
    const shifted = BigInt.asUintN(2048, modulus);
    const hex = shifted.toString(16).padStart(512, '0');
    const request = host.request({
      token: await desk.invite(),
      ekPublic: sized({ ...rsa, modulus: new Uint8Array(Buffer.from(hex, 'hex')) }),
      ekCertificate: undefined,
    });
    await expectRejection('enroll-ek', desk.begin(request));
  });
});

describe('a join token', () => {
  it('is for its time', async () => {
    const request = host.request({ token: await desk.invite() });
    desk.wait(600_000);
    await expectRejection('enroll-token-expired', desk.begin(request));
  });

  it('of nobody is refused, and is no way to the list', async () => {
    await desk.list(host.id);
    const token = toBase64url(new Uint8Array(32));
    await expectRejection('enroll-token', desk.begin(host.request({ token })));
  });

  it('for another EK, another kind of EK, another name is refused', async () => {
    const bound = await desk.invite({ ek: stranger.id });
    await expectRejection('enroll-ek-bound', desk.begin(host.request({ token: bound })));
    const rsa = await desk.invite({ ekTemplate: 'L-1' });
    await expectRejection('enroll-ek-template', desk.begin(host.request({ token: rsa })));
    const named = await desk.invite();
    await expectRejection('enroll-name', desk.begin(host.request({ token: named, name: 'host-b' })));
  });

  it('of the store before its restore is void', async () => {
    const token = await desk.invite();
    const restored = { ...desk.desk, rules: { approvals: null, epoch: 'epoch-2' } };
    const again = await TestDesk.open([factory.certificate], restored);
    await expectRejection('enroll-invitation-void', again.begin(host.request({ token })));
  });

  it('lets in exactly one of two that race, whichever way', async () => {
    const token = await desk.invite();
    const requests = [host.request({ token }), stranger.request({ token })] as const;
    const offers = [await desk.begin(requests[0]), await desk.begin(requests[1])] as const;
    const answers = await Promise.all([
      desk.activate(offers[0], host.answer(offers[0], requests[0])),
      desk.activate(offers[1], stranger.answer(offers[1], requests[1])),
    ]);
    expect(answers.map(({ committed }) => committed?.denied?.check ?? 'ok')).toEqual(['ok', 'replay-token']);
    expect(await desk.row(host.id)).toBeDefined();
    expect(await desk.row(stranger.id)).toBeUndefined();
    expect((await desk.leaves()).map(({ kind, outcome }) => outcome ?? kind)).toEqual([
      'operator',
      'allow',
      'deny',
    ]);
    await expectRejection('replay-token', desk.begin(new SoftwareHost(factory, NOW).request({ token })));
  });

  it('lets one TPM in once, when it races with itself', async () => {
    const token = await desk.invite();
    const request = host.request({ token });
    const offers = [await desk.begin(request), await desk.begin(request)];
    const answers = await Promise.all(
      offers.map((offer) => desk.activate(offer, host.answer(offer, request))),
    );
    expect(answers.map(({ committed }) => committed?.ok)).toEqual([true, false]);
    expect((await desk.row(host.id))?.version).toBe(1);
  });
});

describe('names race as tokens do', () => {
  it('one wins, the other leaves no record', async () => {
    const tokens = [await desk.invite(), await desk.invite()] as const;
    const requests = [host.request({ token: tokens[0] }), stranger.request({ token: tokens[1] })] as const;
    const offers = [await desk.begin(requests[0]), await desk.begin(requests[1])] as const;
    const answers = await Promise.all([
      desk.activate(offers[0], host.answer(offers[0], requests[0])),
      desk.activate(offers[1], stranger.answer(offers[1], requests[1])),
    ]);
    expect(answers.map(({ committed }) => committed?.denied?.check)).toEqual([
      undefined,
      'enroll-name-taken',
    ]);
    expect(await desk.row(stranger.id)).toBeUndefined();
  });
});

describe('an activation', () => {
  it('works once', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const answer = host.answer(offer, request);
    expect((await desk.activate(offer, answer)).host).not.toBeNull();
    await expectRejection('enroll-challenge', desk.activate(offer, answer));
  });

  it('works once even where the memory of challenges is copied', async () => {
    const memory = challengeMemory();
    const kept = new Map<string, ReturnType<typeof memory.take>>();
    const challenges = {
      put: (...given: Parameters<typeof memory.put>) => memory.put(...given),
      take: (id: string) => {
        const challenge = kept.get(id) ?? memory.take(id);
        kept.set(id, challenge);
        return challenge;
      },
    };
    const copied = await TestDesk.open([factory.certificate], { challenges });
    await copied.list(host.id);
    const request = host.request();
    const offer = await copied.begin(request);
    const answers = await Promise.all([
      copied.activate(offer, host.answer(offer, request)),
      copied.activate(offer, host.answer(offer, request)),
    ]);
    expect(answers.map(({ committed }) => committed?.denied?.check)).toEqual([
      undefined,
      'replay-enrollment',
    ]);
  });

  it('is answered in its time', async () => {
    const request = host.request({ token: await desk.invite({}, undefined, 3_600_000) });
    const offer = await desk.begin(request);
    desk.wait(CREDENTIAL_CHALLENGE_MS);
    await expectRejection('enroll-expired', desk.activate(offer, host.answer(offer, request)));
  });

  it('of somebody else’s challenge is nothing', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const other = stranger.request({ token: await desk.invite({ name: 'host-b' }), name: 'host-b' });
    const theirs = await desk.begin(other);
    await expectRejection('enroll-secret', desk.activate(theirs, host.answer(offer, request)));
  });

  it('waits in a bounded memory', async () => {
    const small = await TestDesk.open([factory.certificate], { challenges: challengeMemory(1) });
    const request = host.request({ token: await small.invite({}, undefined, 3_600_000) });
    await small.begin(request);
    await expectRejection('enroll-busy', small.begin(request));
    small.wait(CREDENTIAL_CHALLENGE_MS);
    expect(await small.begin(request)).toHaveProperty('enrollmentId');
  });
});

describe('the quote of an activation', () => {
  const owner = handleName(TPM_RH.OWNER);
  const nothing = handleName(TPM_RH.NULL);
  const akOf = (h: SoftwareHost): Uint8Array => objectName(h.ak.publicBytes);
  const short = [{ bank: 'sha256' as const, pcrs: [0, 7] }];
  it.each<[string, string, (h: SoftwareHost) => AnswerChanges]>([
    [
      'is in the owner hierarchy',
      'e15',
      (h) => ({ quote: { qualifiedSigner: qualifiedName(owner, akOf(h)) } }),
    ],
    [
      'is in the null hierarchy',
      'e15',
      (h) => ({ quote: { qualifiedSigner: qualifiedName(nothing, akOf(h)) } }),
    ],
    ['is another key’s', 'e15', () => ({ quote: { qualifiedSigner: stranger.qualifiedSigner() } })],
    ['answers something else', 'e16', () => ({ qualifyingData: new Uint8Array(32) })],
    ['answers nothing', 'e16', () => ({ qualifyingData: new Uint8Array(0) })],
    ['lacks values', 'e21', () => ({ pcrs: {} })],
    [
      'comes with other values',
      'e22',
      () => ({ pcrs: { sha256: { ...(pcrsOf(SELECTION)['sha256'] as JsonObject), 0: 'ff'.repeat(32) } } }),
    ],
    [
      'covers fewer PCRs',
      'e19',
      () => ({
        quote: { attested: { type: 'quote', pcrSelection: short, pcrDigest: new Uint8Array(32) } },
        pcrs: pcrsOf(short),
      }),
    ],
  ])('that %s is refused (%s), and the refusal is a leaf', async (_, check, change) => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    await expectRejection(check, desk.activate(offer, host.answer(offer, request, change(host))));
    expect(await desk.row(host.id)).toBeUndefined();
    expect((await desk.leaves()).at(-1)).toMatchObject({
      kind: 'enrollment',
      outcome: 'deny',
      denial: { check },
      ak: toHex(akOf(host)),
    });
    await expectRejection('enroll-challenge', desk.activate(offer, host.answer(offer, request)));
  });

  it('is signed by the AK that was challenged', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const { secret } = host.answer(offer, request);
    const qualifiedSigner = host.qualifiedSigner();
    host.ak = softwareAk();
    const answer = { ...host.answer(offer, request, { quote: { qualifiedSigner } }), secret: secret ?? '' };
    await expectRejection('e12', desk.activate(offer, answer));
  });

  it('binds the request: with another name or agent key it is no answer', async () => {
    const request = host.request({ token: await desk.invite() });
    const offer = await desk.begin(request);
    const other = { ...request, agentPublic: text(stranger.request(), 'agentPublic') };
    await expectRejection('e16', desk.activate(offer, host.answer(offer, other)));
  });
});

describe('a revoked TPM', () => {
  beforeEach(async () => {
    const stored = await desk.enrolled(host, host.request({ token: await desk.invite() }));
    await desk.commit(revokeHost(stored, 'stolen', bob));
  });

  it('doesn’t come back by token, by list, or by an invitation for it', async () => {
    for (const change of [{ name: 'host-b' }, { name: 'host-b', ek: host.id }, { host: host.id }]) {
      const token = await desk.invite(change);
      await expectRejection(
        'enroll-revoked',
        desk.begin(host.request({ token, name: change.name ?? 'host-a' })),
      );
    }
    await desk.list(host.id, { name: 'host-c' });
    await expectRejection('enroll-revoked', desk.begin(host.request({ name: 'host-c' })));
  });

  it('doesn’t come back through another AK', async () => {
    host.ak = softwareAk();
    const token = await desk.invite({ name: 'host-b' });
    await expectRejection('enroll-revoked', desk.begin(host.request({ token, name: 'host-b' })));
  });

  it('doesn’t come back through its other EK: the template is fixed, AK and agent key give it away', async () => {
    const other = new SoftwareHost(factory, NOW, 'H-2');
    const plain = await desk.invite({ name: 'host-b' });
    await expectRejection('enroll-ek-template', desk.begin(other.request({ token: plain, name: 'host-b' })));
    const token = await desk.invite({ name: 'host-b', ekTemplate: 'H-2' });
    const sameAk = { token, name: 'host-b', akPublic: text(host.request(), 'akPublic') };
    await expectRejection('enroll-revoked', desk.begin(other.request(sameAk)));
    const sameAgent = { token, name: 'host-b', agentPublic: text(host.request(), 'agentPublic') };
    await expectRejection('enroll-revoked', desk.begin(other.request(sameAgent)));
  });

  it('that is revoked between challenge and answer is out', async () => {
    const request = stranger.request({ token: await desk.invite({ name: 'host-b' }), name: 'host-b' });
    const stored = await desk.enrolled(stranger, request);
    const again = new SoftwareHost(undefined, NOW);
    Object.assign(again, { ek: stranger.ek, certificate: stranger.certificate });
    const token = await desk.invite({ name: 'host-b', host: stranger.id });
    const second = again.request({ token, name: 'host-b' });
    const offer = await desk.begin(second);
    await desk.commit(revokeHost(stored, 'stolen', bob));
    const { committed } = await desk.activate(offer, again.answer(offer, second));
    expect(committed?.denied?.check).toBe('state-moved');
    expect((await desk.host(stranger.id)).host.state).toBe('revoked');
  });
});
