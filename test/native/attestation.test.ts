import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { Attestation } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { handleName, makeCredential, objectName, parsePublic, qualifiedName } from '../../src/tpm/index.ts';
import type { EkTemplateName } from '../../src/tpm/ek-template.ts';
import { parseAttest } from '../../src/tpm/attest.ts';
import { publicSpki } from '../../src/tpm/key-object.ts';
import { importAttestationKey } from '../../src/tpm/quote/attestation-key.ts';
import { verifyQuote } from '../../src/tpm/quote/verify-quote.ts';
import { parseSignature } from '../../src/tpm/signature.ts';
import { verifySignature } from '../../src/tpm/verify-signature.ts';
import { systemRandom } from '../support/random.ts';
import { expectRejection } from '../support/refusals.ts';
import { TpmFixture, leftOver, sha256Pcrs } from './support/fixture.ts';
import { TpmProxy } from './support/proxy.ts';

const fixture = new TpmFixture({ eccP256: true, clone: true });
const BOOT = sha256Pcrs(0, 1, 2, 3, 4, 5, 6, 7, 10, 14);
const TEMPLATES: readonly EkTemplateName[] = ['L-1', 'L-2', 'H-3'];
const file = (name: string): string => path.join(path.dirname(fixture.swtpm.socket), name);

/** A quote by a new AK, over a salted session, as an agent makes it. */
async function freshQuote(
  tpm: Tpm,
  template: EkTemplateName,
  algorithm: 'ecc' | 'rsa',
): Promise<Attestation & { nonce: Uint8Array; akPublic: Uint8Array; qualifiedSigner: Uint8Array }> {
  const nonce = new Uint8Array(randomBytes(32));
  await using ek = await tpm.endorsementKey(template);
  const ak = await tpm.attestationKey({ ek, algorithm });
  await using session = await tpm.startSession({ type: 'hmac', salt: ek });
  const quote = await tpm.quote({ key: ak.key, auth: session, qualifyingData: nonce, selection: BOOT });
  await tpm.evictControl(ak.key);
  return { ...quote, nonce, akPublic: ak.key.publicBytes, qualifiedSigner: ak.qualifiedName };
}

describe('the endorsement key', () => {
  it.each(TEMPLATES)('%s is the one of its certificate in NV', async (template) => {
    await using ek = await fixture.tpm.endorsementKey(template);
    const certificate = await fixture.tpm.endorsementCertificate(template);
    expect(certificate?.chain).toEqual([]);
    const { publicKey } = new X509Certificate(certificate?.content ?? new Uint8Array());
    const certified = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }));
    expect(certified).toEqual(publicSpki(parsePublic(ek.publicBytes)));
  });

  it('is the persistent object where there is one, else made', async () => {
    const { tpm } = fixture;
    await using rsa = await tpm.endorsementKey('L-1');
    await using ecc = await tpm.endorsementKey('L-2');
    expect([rsa.life, rsa.handle]).toEqual(['persistent', 0x81010001]);
    expect([ecc.life, ecc.handle]).toEqual(['transient', undefined]);
  });

  it('is never another one than was enrolled', async () => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey('L-1');
    await using same = await tpm.endorsementKey('L-1', { name: ek.name });
    expect(same.name).toEqual(ek.name);
    const refusal = await expectRejection('tpm-ek-mismatch', tpm.endorsementKey('L-2', { name: ek.name }));
    expect(refusal.detail['name']).toMatch(/^000b[0-9a-f]{64}$/);
    expect(await leftOver(tpm)).toEqual({ transient: 0, sessions: 0 });
  });

  it('is not made where NV has the manufacturer’s own nonce; one that was enrolled is known by its name', async () => {
    const enrolled = await fixture.tpm.endorsementKey('L-2');
    const nonce = ['0x01c0000b', '-C', 'p'];
    await fixture.aside((swtpm) =>
      swtpm.tool('tpm2_nvdefine', [...nonce, '-s', '8', '-a', 'platformcreate|authread|ppwrite']),
    );
    const refusal = await expectRejection('tpm-ek-template', fixture.tpm.endorsementKey('L-2'));
    expect(refusal.detail).toEqual({ template: 'L-2', nvIndex: '0x01c0000b' });
    await using same = await fixture.tpm.endorsementKey('L-2', { name: enrolled.name });
    expect(same.name).toEqual(enrolled.name);
    await using other = await fixture.tpm.endorsementKey('L-1');
    expect(other.life).toBe('persistent');
    await fixture.aside((swtpm) => swtpm.tool('tpm2_nvundefine', nonce));
  });

  it('has no certificate for a template that none was written for', async () => {
    expect(await fixture.tpm.endorsementCertificate('H-1')).toBeNull();
  });

  it('comes with the chain that is in NV', async () => {
    writeFileSync(file('chain'), 'part one');
    await fixture.aside(async (swtpm) => {
      await swtpm.tool('tpm2_nvdefine', [
        '0x1c00100',
        '-C',
        'o',
        '-s',
        '8',
        '-a',
        'ownerwrite|ownerread|authread',
      ]);
      await swtpm.tool('tpm2_nvwrite', ['0x1c00100', '-C', 'o', '-i', file('chain')]);
    });
    const certificate = await fixture.tpm.endorsementCertificate('L-1');
    expect(certificate?.chain.map((part) => Buffer.from(part).toString())).toEqual(['part one']);
  });

  it('works with owner and endorsement auth values, which never cross the bus', async () => {
    const value = randomBytes(16).fill(7, 15);
    const seen = await fixture.aside(async (swtpm) => {
      await using proxy = await TpmProxy.start(swtpm);
      await using tpm = await Tpm.open(proxy.tcti);
      await using ek = await tpm.endorsementKey('L-1');
      await using session = await tpm.startSession({ type: 'hmac', salt: ek });
      for (const hierarchy of ['endorsement', 'owner'] as const)
        await tpm.hierarchyChangeAuth(hierarchy, value, { auth: session });
      await using made = await tpm.endorsementKey('L-2');
      const ak = await tpm.attestationKey({ ek: made });
      await using owner = await tpm.startSession({ type: 'hmac', salt: ek });
      await tpm.evictControl(ak.key, undefined, { auth: owner });
      for (const hierarchy of ['endorsement', 'owner'] as const)
        await tpm.hierarchyChangeAuth(hierarchy, new Uint8Array(), { auth: session });
      return proxy.bytes;
    });
    expect(seen.length).toBeGreaterThan(1000);
    expect(seen.includes(value)).toBe(false);
    expect(await leftOver(fixture.tpm)).toEqual({ transient: 0, sessions: 0 });
  });
});

describe('the attestation key', () => {
  it('is kept in its range, under the EK, and opened again by name and auth value', async () => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey('L-1');
    const one = await tpm.attestationKey({ ek });
    const two = await tpm.attestationKey({ ek });
    expect([one.handle, two.handle]).toEqual([0x81010020, 0x81010021]);
    expect(toHex(one.key.name)).not.toBe(toHex(two.key.name));
    const ekName = qualifiedName(handleName(0x4000_000b), ek.name);
    expect(one.qualifiedName).toEqual(qualifiedName(ekName, one.key.name));
    const again = await tpm.openAttestationKey(one.handle, one.authValue, one.key.name);
    await using session = await tpm.startSession({ type: 'hmac', salt: ek });
    const quote = { auth: session, qualifyingData: new Uint8Array(32), selection: BOOT };
    expect((await tpm.quote({ key: again, ...quote })).attest.length).toBeGreaterThan(64);
    await expectRejection('tpm-ak-mismatch', tpm.openAttestationKey(two.handle, one.authValue, one.key.name));
    await again.setAuth(two.authValue);
    await expectRejection('tpm-authorization', tpm.quote({ key: again, ...quote }));
    await again.flush();
    for (const { key } of [one, two]) await tpm.evictControl(key);
    expect(await tpm.handles('persistent')).toEqual([0x81010001, 0x81010016]);
  });

  it('never evicts others: a full range is refused', async () => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey('L-2');
    const keys = [];
    const taken = 32;
    while (keys.length < taken) keys.push(await tpm.attestationKey({ ek }));
    await expectRejection('tpm-no-handle', tpm.attestationKey({ ek }));
    for (const { key } of keys) await tpm.evictControl(key);
    expect(await leftOver(tpm)).toEqual({ transient: 1, sessions: 0 });
  });
});

describe('a quote through node-tpm2', () => {
  it.each(
    TEMPLATES.flatMap((template) =>
      (['ecc', 'rsa'] as const).map((algorithm) => [template, algorithm] as const),
    ),
  )('under EK %s by an AK of type %s verifies, every check made that can be', async (template, algorithm) => {
    const quote = await freshQuote(fixture.tpm, template, algorithm);
    const { values } = await fixture.tpm.pcrRead(BOOT);
    const key = importAttestationKey(quote.akPublic);
    const expected = { nonce: quote.nonce, selection: BOOT, qualifiedSigner: quote.qualifiedSigner };
    const verified = verifyQuote({ ...quote, pcrs: values }, key, expected);
    expect(verified.unchecked).toEqual(['e2', 'e3', 'e17', 'e18']);
    expect(await leftOver(fixture.tpm)).toEqual({ transient: 0, sessions: 0 });
  });

  it.each(['ecc', 'rsa'] as const)(
    'by an AK of type %s is accepted by tpm2_checkquote',
    async (algorithm) => {
      const quote = await freshQuote(fixture.tpm, 'L-1', algorithm);
      const spki = publicSpki(parsePublic(quote.akPublic));
      writeFileSync(file('ak.pem'), pem(spki));
      writeFileSync(file('quote.msg'), quote.attest);
      writeFileSync(file('quote.sig'), quote.signature);
      const args = ['-u', file('ak.pem'), '-m', file('quote.msg'), '-s', file('quote.sig')];
      const nonce = ['-q', toHex(quote.nonce), '-g', 'sha256'];
      await fixture.aside(async (swtpm) => {
        await swtpm.tool('tpm2_checkquote', [...args, ...nonce]);
        await expect(swtpm.tool('tpm2_checkquote', [...args, '-q', '00', '-g', 'sha256'])).rejects.toThrow();
      });
    },
  );

  it('of tpm2_quote by our AK is what ours is', async () => {
    const { tpm } = fixture;
    const nonce = randomBytes(32);
    const ek = await tpm.endorsementKey('L-1');
    const ak = await tpm.attestationKey({ ek });
    const handle = `0x${ak.handle.toString(16)}`;
    const args = ['-c', handle, '-p', `hex:${toHex(ak.authValue)}`, '-l', 'sha256:0,1,2,3,4,5,6,7,10,14'];
    await fixture.aside((swtpm) =>
      swtpm.tool('tpm2_quote', [
        ...args,
        '-q',
        toHex(nonce),
        '-m',
        file('their.msg'),
        '-s',
        file('their.sig'),
      ]),
    );
    const evidence = {
      attest: new Uint8Array(readFileSync(file('their.msg'))),
      signature: new Uint8Array(readFileSync(file('their.sig'))),
    };
    const key = importAttestationKey(ak.key.publicBytes);
    const expected = { nonce, selection: BOOT, qualifiedSigner: ak.qualifiedName };
    expect(verifyQuote(evidence, key, expected).attest.attested.type).toBe('quote');
    const reopened = await fixture.tpm.openAttestationKey(ak.handle, ak.authValue, ak.key.name);
    await fixture.tpm.evictControl(reopened);
  });
});

describe('activation', () => {
  it.each(TEMPLATES)('opens a credential for %s that was made without the TPM', async (template) => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey(template);
    const ak = await tpm.attestationKey({ ek });
    const secret = new Uint8Array(randomBytes(32));
    const credential = makeCredential(parsePublic(ek.publicBytes), ak.key.name, secret, systemRandom);
    const isLow = template.startsWith('L');
    await using forAk = await tpm.startSession({ type: 'hmac', salt: ek });
    await using forEk = await tpm.startSession({
      type: isLow ? 'policy' : 'hmac',
      salt: ek,
      hash: parsePublic(ek.publicBytes).nameAlg,
    });
    if (isLow) await tpm.policySecret(forEk, 'endorsement');
    expect(await tpm.activateCredential(ak.key, ek, credential, { auth: [forAk, forEk] })).toEqual(secret);

    const other = await tpm.attestationKey({ ek });
    if (isLow) await tpm.policySecret(forEk, 'endorsement');
    const wrong = tpm.activateCredential(other.key, ek, credential, { auth: [forAk, forEk] });
    await expect(wrong).rejects.toMatchObject({
      check: 'tpm-command',
      name: 'TPM_RC_INTEGRITY',
      parameter: 1,
    });
    for (const { key } of [ak, other]) await tpm.evictControl(key);
  });
});

describe('certification', () => {
  it('certifies a loaded object, and that the TPM made it', async () => {
    const { tpm } = fixture;
    await using ek = await tpm.endorsementKey('L-2');
    const ak = await tpm.attestationKey({ ek });
    const { object, creation } = await tpm.createPrimary('owner', {
      template: SIGNING_TEMPLATE,
      outsideInfo: Buffer.from('why'),
      creationPcrs: sha256Pcrs(7),
    });
    await using key = object;
    await using session = await tpm.startSession({ type: 'hmac', salt: ek });
    const qualifyingData = randomBytes(20);
    const statements = [
      await tpm.certify({ key: ak.key, object: key, qualifyingData, auth: [undefined, session] }),
      await tpm.certifyCreation({ key: ak.key, object: key, creation, qualifyingData, auth: session }),
    ];
    const { verifying } = importAttestationKey(ak.key.publicBytes);
    expect(verifying).not.toBeNull();
    for (const { attest, signature } of statements) {
      if (verifying !== null)
        expect(verifySignature(verifying, attest, parseSignature(signature))).toBe(true);
    }
    const [certified, created] = statements.map(({ attest }) => parseAttest(attest).attested);
    expect(certified).toMatchObject({ type: 'certify', name: key.name });
    expect(created).toMatchObject({ type: 'creation', objectName: key.name, creationHash: creation.hash });
    expect(creation.hash).toEqual(new Uint8Array(createHash('sha256').update(creation.data).digest()));
    await tpm.evictControl(ak.key);
  });

  it('signs with an unrestricted key, and the TPM verifies it', async () => {
    const { tpm } = fixture;
    const { object } = await tpm.createPrimary('owner', { template: SIGNING_TEMPLATE });
    await using key = object;
    const digest = createHash('sha256').update('message').digest();
    const signature = await tpm.sign({ key, digest });
    const { verifying } = importAttestationKey(key.publicBytes);
    expect(
      verifying !== null && verifySignature(verifying, Buffer.from('message'), parseSignature(signature)),
    ).toBe(true);
    expect((await tpm.verifySignature(key, digest, signature)).length).toBeGreaterThan(8);
    const wrong = createHash('sha256').update('other').digest();
    await expect(tpm.verifySignature(key, wrong, signature)).rejects.toMatchObject({
      name: 'TPM_RC_SIGNATURE',
    });
    expect(await tpm.readPublic(key)).toMatchObject({ name: objectName(key.publicBytes) });
  });
});

/** ECC P-256, signing, ECDSA with SHA-256, empty auth. */
const SIGNING_TEMPLATE = new Uint8Array(
  Buffer.from('0023000b00040472000000100018000b0003001000000000', 'hex'),
);

function pem(spki: Uint8Array): string {
  return `-----BEGIN PUBLIC KEY-----\n${Buffer.from(spki).toString('base64')}\n-----END PUBLIC KEY-----\n`;
}
