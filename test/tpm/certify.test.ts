import { describe, expect, it } from 'vitest';
import { Refusal, fromHex } from '../../src/base/index.ts';
import {
  EK_TEMPLATES,
  encodeAttest,
  encodePublic,
  handleName,
  importAttestationKey,
  keyMaterial,
  parsePublic,
  publicName,
  qualifiedName,
  ekPublic,
  requireStorageKey,
  verifyAkCreation,
  verifyCertify,
} from '../../src/tpm/index.ts';
import type { AkCreation, Attest } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NONCE, quoteOf, signedQuote, softwareAk } from '../support/software-ak.ts';
import { dataFile, dataJson } from '../support/vectors.ts';

const AK = softwareAk();
const KEY = importAttestationKey(AK.publicBytes);
const STORAGE = ekPublic(
  EK_TEMPLATES.find(({ name }) => name === 'L-2')!,
  keyMaterial(softwareAk({ curve: 'P-256' }).area),
);
const PARENT = handleName(0x40000001);
const EXPECTED = { nonce: NONCE, subject: encodePublic(STORAGE), parent: PARENT };

function certified(
  changes: Partial<Extract<Attest['attested'], { type: 'certify' }>> = {},
  extraData = NONCE,
) {
  const name = publicName(STORAGE);
  const attested = {
    type: 'certify',
    name,
    qualifiedName: qualifiedName(PARENT, name),
    ...changes,
  } as const;
  const attest = encodeAttest({ ...quoteOf(), extraData, attested });
  return { attest, signature: AK.sign(attest) };
}

describe('TPM2_Certify', () => {
  it('vouches for exactly one key', () => {
    const area = verifyCertify(certified(), KEY, EXPECTED);
    expect(area).toEqual(STORAGE);
    requireStorageKey(area);
  });

  it('of a booted guest verifies', () => {
    const evidence = {
      attest: dataFile('boots/secure-boot/negative/certify.msg'),
      signature: dataFile('boots/secure-boot/negative/certify.sig'),
    };
    const key = importAttestationKey(dataFile('boots/secure-boot/ak.tpmt'));
    const subject = dataFile('boots/secure-boot/ak-ecc.tpmt');
    const expected = { nonce: fromHex('00ff55aa'), subject };
    expect(verifyCertify(evidence, key, expected)).toEqual(parsePublic(subject));
    expectRefusal('certify', () => {
      requireStorageKey(parsePublic(subject));
    });
    const other = dataFile('boots/plain-boot/ak-ecc.tpmt');
    expectRefusal('certify', () => verifyCertify(evidence, key, { ...expected, subject: other }));
  });

  it.each([
    ['another key', certified({ name: publicName(AK.area) })],
    [
      'another parent',
      certified({ qualifiedName: qualifiedName(handleName(0x4000000b), publicName(STORAGE)) }),
    ],
    ['another nonce', certified({}, NONCE.slice(1))],
    ['a quote', signedQuote(AK)],
  ])('refuses %s', (_, evidence) => {
    expectRefusal('certify', () => verifyCertify(evidence, KEY, EXPECTED));
  });

  it('refuses an empty nonce, a foreign signature, a weak key and a forged body', () => {
    const empty = new Uint8Array();
    expectRefusal('certify', () => verifyCertify(certified({}, empty), KEY, { ...EXPECTED, nonce: empty }));
    const other = importAttestationKey(
      softwareAk({ curve: 'P-384' }, { name: 'ecdsa', hash: 'sha256' }).publicBytes,
    );
    expectRefusal('e12', () => verifyCertify(certified(), other, EXPECTED));
    const unrestricted = softwareAk(undefined, undefined, { attributes: 0 });
    expectRefusal('e5', () =>
      verifyCertify(certified(), importAttestationKey(unrestricted.publicBytes), EXPECTED),
    );
    const forged = encodeAttest(quoteOf());
    forged[0] = 1;
    expectRefusal('e13', () => verifyCertify({ attest: forged, signature: AK.sign(forged) }, KEY, EXPECTED));
  });
});

/** The check that a refusal names; `undefined` for what is accepted, and any other error is thrown on. */
function checkOf(action: () => unknown): string | undefined {
  try {
    action();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.check;
  }
  return undefined;
}

interface CreationVector {
  readonly public: string;
  readonly createData: string;
  readonly createAttestation: string;
  readonly createSignature: string;
}

const vectors = (dataJson('go-attestation/ak-creation.json') as CreationVector[]).map(
  (vector): AkCreation => ({
    public: fromHex(vector.public),
    creationData: fromHex(vector.createData),
    attest: fromHex(vector.createAttestation),
    signature: fromHex(vector.createSignature),
  }),
);
const manifest = (
  dataJson('generated-swtpm/manifest.json') as {
    akCreation: { public: string; creationData: string; attest: string; signature: string };
  }
).akCreation;
const emulated: AkCreation = {
  public: fromHex(manifest.public),
  creationData: fromHex(manifest.creationData),
  attest: fromHex(manifest.attest),
  signature: fromHex(manifest.signature),
};
const SHA1 = { acceptSha1: true };

describe('creation attestations of attestation keys', () => {
  it('of an Infineon TPM, a Google vTPM and an emulated TPM verify', () => {
    expect(vectors).toHaveLength(2);
    for (const vector of vectors) expect(verifyAkCreation(vector, SHA1).parentNameAlg).toBe('sha256');
    expect(verifyAkCreation(emulated, { nonce: new Uint8Array() }).locality).toBe(1);
  });

  it('over SHA-1 are refused unless that is asked for', () => {
    for (const vector of vectors) expectRefusal('e10', () => verifyAkCreation(vector));
  });

  it('with the signature of another type of key are refused, and nothing crashes', () => {
    const [rsa, ecc] = vectors;
    expectRefusal('e9', () => verifyAkCreation({ ...rsa!, signature: ecc!.signature }, SHA1));
    expectRefusal('e9', () => verifyAkCreation({ ...ecc!, signature: rsa!.signature }, SHA1));
  });

  it('on P-224 are refused', () => {
    const ecc = vectors[1]!;
    const at = 2 + 2 + 4 + 2 + 32 + 2 + 2 + 2;
    const weak = ecc.public.slice();
    expect(weak[at + 1]).toBe(3);
    weak[at + 1] = 2;
    // Its coordinates have 32 bytes, which P-224 can't have.
    expectRefusal('e4', () => verifyAkCreation({ ...ecc, public: weak }, SHA1));
    const short = Uint8Array.of(
      ...weak.slice(0, at + 4),
      0,
      28,
      ...new Uint8Array(28),
      0,
      28,
      ...new Uint8Array(28),
    );
    expectRefusal('e6', () => verifyAkCreation({ ...ecc, public: short }, SHA1));
  });

  /** What says so, by the part that was changed: its form, the key, the signature, or what was attested. */
  const SAYS = {
    public: ['e4', 'e5', 'e6', 'e12', 'ak-creation'],
    creationData: ['malformed', 'ak-creation'],
    attest: ['e12', 'e13', 'e20'],
    signature: ['e8', 'e12'],
  } as const;

  it('with any byte changed are refused, and each time for what is wrong', () => {
    const said = new Set<string>();
    for (const vector of [...vectors, emulated]) {
      for (const member of Object.keys(SAYS) as (keyof typeof SAYS)[]) {
        for (let at = 0; at < vector[member].length; at++) {
          const changed = vector[member].slice();
          changed[at] = (changed[at] ?? 0) ^ 0x01;
          const check = checkOf(() => verifyAkCreation({ ...vector, [member]: changed }, SHA1));
          expect(SAYS[member], `${member} ${at}`).toContain(check);
          said.add(`${member} ${check}`);
        }
      }
    }
    // None of them is there for nothing.
    expect(said.size).toBe(Object.values(SAYS).flat().length);
  });

  it('of another key, over other creation data, with another nonce, or no creation at all', () => {
    const body = (attested: Attest['attested']) => {
      const attest = encodeAttest({ ...quoteOf(), attested });
      return { ...emulated, public: AK.publicBytes, attest, signature: AK.sign(attest) };
    };
    const creationHash = new Uint8Array(32);
    const objectName = publicName(AK.area);
    expectRefusal('ak-creation', () => verifyAkCreation(body(quoteOf().attested)));
    expectRefusal('ak-creation', () =>
      verifyAkCreation(body({ type: 'creation', objectName: publicName(STORAGE), creationHash })),
    );
    expectRefusal('ak-creation', () =>
      verifyAkCreation(body({ type: 'creation', objectName, creationHash })),
    );
    expectRefusal('ak-creation', () => verifyAkCreation(emulated, { nonce: NONCE }));
  });
});
