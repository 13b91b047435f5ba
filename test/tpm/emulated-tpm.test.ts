import { describe, expect, it } from 'vitest';
import { Reader, fromHex, toHex } from '../../src/base/index.ts';
import { matchEventLog, parseEventLog } from '../../src/evidence/index.ts';
import {
  PolicyDigest,
  TPM_ALG,
  TPM_RH,
  attributeNames,
  ekPublic,
  digestSize,
  encodePublic,
  examineQuote,
  handleName,
  importAttestationKey,
  isOnCurve,
  makeCredential,
  makeImportBlob,
  matchEkTemplate,
  objectName,
  parsePcrValues,
  parsePublic,
  publicSpki,
  keyMaterial,
  parseAttest,
  encodeCredentialFile,
  parseCredentialFile,
  parseSignature,
  pcrDigest,
  qualifiedName,
  requireAkRules,
  verifyAkCreation,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type { HashName, KeyedHashPublic, PcrSelection, PublicArea } from '../../src/tpm/index.ts';
import { parseEkCertificate } from '../../src/x509/index.ts';
import type { Manifest, ManifestPolicy, ManifestQuote } from '../support/manifest.ts';
import { systemRandom as random } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';
import { dataFile, dataJson } from '../support/vectors.ts';
import { watchJson } from '../support/watched-json.ts';

/** PolicyC of the EK credential profile, which the manifest has for SHA-384 only; policy-digest.test.ts derives it. */
const POLICY_C_SHA256 = '3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde';

const { value, unread } = watchJson(dataJson('generated-swtpm/manifest.json'));
const manifest = value as Manifest;
const { quotes, negative, credentials, importBlobs, policies, akCreation } = manifest;
const keys = Object.entries(manifest.keys);
const allPcrs = parsePcrValues(Buffer.from(JSON.stringify(manifest.pcrs)));

const publicOf = (name: string): Uint8Array => fromHex(manifest.keys[name]!.public);
const keyOf = (name: string) => importAttestationKey(publicOf(name));
const selectionOf = (pairs: readonly [HashName, number[]][]): PcrSelection =>
  pairs.map(([bank, pcrs]) => ({ bank, pcrs }));
const valueOf = (bank: HashName, index: number): Uint8Array => fromHex(manifest.pcrs[bank][index]!);

/** Content of a TPM2B, which must be all there is. */
function sized(hex: string): Uint8Array {
  const reader = new Reader(fromHex(hex), 'TPM2B');
  const content = reader.sized16();
  reader.end();
  return content;
}

describe('keys of an emulated TPM', () => {
  it.each(keys)('%s: the name is what the TPM said, and the codec gives the same bytes', (_, key) => {
    const area = parsePublic(fromHex(key.public));
    expect(toHex(objectName(fromHex(key.public)))).toBe(key.name);
    expect(toHex(encodePublic(area))).toBe(key.public);
  });

  it.each(keys.filter(([name]) => name.startsWith('ek_')))(
    '%s is of its template, and its certificate gives the same key',
    (_, key) => {
      const template = matchEkTemplate(fromHex(key.public));
      expect(key.template).toMatch(new RegExp(`^${template!.name} \\(`));
      const { publicKey } = parseEkCertificate(dataFile(`swtpm-certificates/generated/${key.cert!}`));
      const area = parsePublic(fromHex(key.public));
      expect(toHex(publicSpki(area))).toBe(toHex(publicKey.canonical));
      // What a verifier does that has the certificate only: the template and the key make the public area.
      expect(toHex(encodePublic(ekPublic(template!, keyMaterial(area))))).toBe(key.public);
    },
  );

  it('of every other kind match no EK template', () => {
    const others = keys.filter(([name]) => !name.startsWith('ek_'));
    expect(others).toHaveLength(6);
    for (const [name] of others) expect(matchEkTemplate(publicOf(name)), name).toBeUndefined();
  });

  it.each(keys.filter(([, { attrs }]) => attrs !== undefined))(
    'rules h take %s as an attestation key, or refuse it, by its attributes',
    (_, key) => {
      const area = parsePublic(fromHex(key.public));
      expect(attributeNames(area.attributes)).toEqual(expect.arrayContaining([...key.attrs!]));
      expect(attributeNames(area.attributes)).toHaveLength(key.attrs!.length);
      if (key.expect === undefined) {
        requireAkRules(area);
      } else {
        expect(key.expect).toBe('REFUSE as AK: restricted clear');
        const refusal = expectRefusal('h', () => {
          requireAkRules(area);
        });
        expect(refusal.detail['violations']).toEqual(['restricted is not set']);
      }
    },
  );
});

describe('PCRs of an emulated TPM', () => {
  it('are read as they are written, each as long as its bank says', () => {
    expect([...allPcrs.keys()]).toEqual(['sha1', 'sha256', 'sha384', 'sha512']);
    for (const [bank, values] of allPcrs) {
      expect([...values.keys()]).toEqual(Array.from({ length: 24 }, (_, index) => index));
      for (const [index, pcr] of values) {
        expect(pcr).toHaveLength(digestSize(bank));
        expect(toHex(pcr)).toBe(manifest.pcrs[bank][index]);
      }
    }
  });

  it('are what the event log gives; the bank that nobody extended is found (CVE-2021-42299)', () => {
    const match = matchEventLog(parseEventLog(dataFile('generated-swtpm/eventlog.bin')), allPcrs);
    expect(match).toMatchObject({
      diverging: [],
      unexplained: [],
      notExtended: ['sha512'],
      notInLog: ['sha512'],
    });
    expect(Object.keys(match.matches)).toEqual(['sha1', 'sha256', 'sha384', 'sha512']);
  });
});

function given(quote: ManifestQuote) {
  const selection = selectionOf(quote.selection);
  const pcrs = new Map(
    selection.map(({ bank, pcrs: list }) => [
      bank,
      new Map(list.map((index) => [index, allPcrs.get(bank)!.get(index)!])),
    ]),
  );
  return {
    selection,
    evidence: { attest: fromHex(quote.attest), signature: fromHex(quote.signature), pcrs },
    key: keyOf(quote.ak),
    nonce: fromHex(quote.nonce),
  };
}

const accepted = quotes.filter((quote) => quote.expect === 'ACCEPT');
const refused = quotes.filter((quote) => quote.expect !== 'ACCEPT');
/** What is wrong with each signed structure that is no quote. */
const NO_QUOTES: Readonly<Record<string, readonly string[]>> = {
  certify: ['e14'],
  nv_certify: ['e14'],
  get_time: ['e14'],
  'forged-right-magic-unrestricted-key': ['e5'],
  'forged-wrong-magic-unrestricted-key': ['e5', 'e13'],
  'restricted-ak-signs-wrong-magic-blob': ['e13'],
};

describe('quotes of an emulated TPM', () => {
  it('are all there', () => {
    expect(accepted).toHaveLength(9);
    expect(refused.map(({ name }) => name)).toEqual(['sha1-sig']);
    expect(negative.map(({ name }) => name)).toEqual(Object.keys(NO_QUOTES));
  });

  it.each(accepted.map((quote) => [quote.name, quote] as const))('%s verifies', (_, quote) => {
    const { evidence, key, nonce, selection } = given(quote);
    const verified = verifyQuote(evidence, key, { nonce, selection });
    expect(verified.attest).toEqual(parseAttest(evidence.attest));
    expect(verified.unchecked).toEqual(['e2', 'e3', 'e15', 'e17', 'e18']);
    expect([...verified.pcrs!].map(({ bank, index, value: pcr }) => [bank, index, toHex(pcr)])).toEqual(
      quote.selection.flatMap(([bank, list]) =>
        list.map((index) => [bank, index, manifest.pcrs[bank][String(index)]]),
      ),
    );
  });

  it.each(quotes.map((quote) => [quote.name, quote] as const))(
    '%s has the body and the scheme that were noted, whether it is accepted or not',
    (_, quote) => {
      const signature = parseSignature(fromHex(quote.signature));
      const scheme = TPM_ALG[signature.scheme.toUpperCase() as 'RSASSA' | 'RSAPSS' | 'ECDSA'];
      expect(`0x${scheme.toString(16)}`).toBe(quote.sigAlg);
      expect(signature.hash).toBe(quote.sigHash);
      const { attested, extraData, clockInfo, firmwareVersion } = parseAttest(fromHex(quote.attest));
      expect(attested).toMatchObject({ type: 'quote', pcrSelection: selectionOf(quote.selection) });
      expect(toHex(extraData)).toBe(quote.nonce);
      const { clock, resetCount, restartCount, safe } = quote.clockInfo;
      expect(clockInfo).toEqual({ clock: BigInt(clock), resetCount, restartCount, safe: safe === 1 });
      expect(firmwareVersion).toBe(BigInt(quote.firmwareVersion));
    },
  );

  it('a signature over SHA-1 is refused', () => {
    const { evidence, key, nonce } = given(refused[0]!);
    expect(refused[0]!.expect).toBe('REFUSE by default (SHA-1 signature hash)');
    expectRefusal('e10', () => verifyQuote(evidence, key, { nonce }));
  });

  it.each(negative.map((entry) => [entry.name, entry] as const))('%s is no quote', (name, entry) => {
    const { ak, attest, signature } = entry;
    expect(entry.expect).toMatch(/^REFUSE/);
    const examined = examineQuote({ attest: fromHex(attest), signature: fromHex(signature) }, keyOf(ak), {
      nonce: fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
    });
    expect(examined.failures.map(({ check }) => check)).toEqual(NO_QUOTES[name]);
    expect(examined).toMatchObject({ verified: null, signed: null, pcrs: null });
  });
});

/**
 * The seeds of these blobs are secret and the EKs' private halves never left the emulator, so that here nobody can
 * open them; it did when they were made. Everything that is public about them is held against what we make for the
 * same EK, whose blobs are opened by software keys and by real TPMs in the tests beside this one.
 */
function expectSeedOf(ek: PublicArea, encrypted: Uint8Array): void {
  if (ek.type === 'rsa') {
    expect(encrypted).toHaveLength(ek.modulus.length);
    // As big-endian integers of one length: RSAEP takes no representative that isn't below the modulus.
    expect(toHex(encrypted) < toHex(ek.modulus)).toBe(true);
    return;
  }
  if (ek.type !== 'ecc') throw new Error(`no EK is ${ek.type}`);
  const reader = new Reader(encrypted, 'TPMS_ECC_POINT');
  const [x, y] = [reader.sized16(), reader.sized16()];
  reader.end();
  expect(isOnCurve(ek.curve, x, y)).toBe(true);
}

describe('credentials that a TPM opened', () => {
  it.each(credentials.map((entry) => [entry.ek, entry] as const))('%s: have the form of ours', (_, entry) => {
    expect(entry.verified).toBe('TPM2_ActivateCredential returned the secret');
    const ek = parsePublic(publicOf(entry.ek));
    const secret = fromHex(entry.secret);
    const credentialBlob = sized(entry.idObject_TPM2B);
    const encryptedSecret = sized(entry.encryptedSecret_TPM2B);
    expectSeedOf(ek, encryptedSecret);
    const blob = new Reader(credentialBlob, 'TPMS_ID_OBJECT');
    expect(blob.sized16()).toHaveLength(digestSize(ek.nameAlg));
    expect(blob.rest()).toHaveLength(2 + secret.length);
    const ours = makeCredential(ek, fromHex(manifest.keys[entry.ak]!.name), secret, random);
    expect(ours.credentialBlob).toHaveLength(credentialBlob.length);
    expect(ours.encryptedSecret).toHaveLength(encryptedSecret.length);
    expectSeedOf(ek, ours.encryptedSecret);
    // tpm2-tools' file around both is read again as it was written.
    const file = parseCredentialFile(encodeCredentialFile({ credentialBlob, encryptedSecret }));
    expect(file).toEqual({ credentialBlob, encryptedSecret });
  });
});

describe('import blobs that a TPM opened', () => {
  it.each(importBlobs.map((entry) => [entry.ek, entry] as const))('%s: have the form of ours', (_, entry) => {
    expect(entry.verified).toBe('TPM2_Import+Load+Unseal succeeded with these PCRs');
    const ek = parsePublic(publicOf(entry.ek));
    const area = parsePublic(fromHex(entry.public_TPMT));
    expect(toHex(objectName(fromHex(entry.public_TPMT)))).toBe(entry.name);
    // noDA is all that ours has more; the rest of the public area is ours byte for byte, but for the secret's hash.
    expect(attributeNames(area.attributes)).toEqual(['adminWithPolicy']);
    const ours = makeImportBlob(ek, fromHex(entry.data), area.authPolicy, random);
    const { unique } = area as KeyedHashPublic;
    expect(unique).toHaveLength(digestSize('sha256'));
    const likeTheirs = { ...parsePublic(ours.objectPublic), attributes: area.attributes, unique };
    expect(toHex(encodePublic(likeTheirs as PublicArea))).toBe(entry.public_TPMT);
    expect(ours.duplicate).toHaveLength(entry.duplicate.length / 2);
    expectSeedOf(ek, ours.encryptedSeed);
    expectSeedOf(ek, fromHex(entry.inSymSeed));
    const outer = new Reader(fromHex(entry.duplicate), 'outer wrap');
    expect(outer.sized16()).toHaveLength(digestSize(ek.nameAlg));
    // Type, no authValue, a SHA-256 obfuscation value and the data, each with its size.
    expect(outer.rest()).toHaveLength(2 + 2 + 2 + (2 + 32) + 2 + entry.data.length / 2);
  });

  it.each(importBlobs.map((entry) => [entry.ek, entry] as const))(
    '%s: open under the PCRs of this boot',
    (_, { policyPCR: { bank, pcrs, digest: expected }, public_TPMT }) => {
      const selection: PcrSelection = [{ bank, pcrs }];
      const policy = PolicyDigest.start('sha256').pcr(selection, pcrDigest('sha256', selection, valueOf));
      expect(toHex(policy.value)).toBe(expected);
      expect(toHex(parsePublic(fromHex(public_TPMT)).authPolicy)).toBe(expected);
    },
  );
});

describe('policy digests that a TPM gave', () => {
  it.each(policies.map((policy) => [policy.kind, policy.digest, policy] as const))(
    '%s %s',
    (_kind, _digest, policy) => {
      expect(toHex(compute(policy).value)).toBe(policy.digest);
    },
  );

  function compute({ kind, alg, session, ...policy }: ManifestPolicy): PolicyDigest {
    const secret = (): PolicyDigest => PolicyDigest.start(alg).secret(handleName(TPM_RH.ENDORSEMENT));
    switch (kind) {
      case 'PolicySecret(TPM_RH_ENDORSEMENT)':
        expect(policy.aka).toBe('PolicyA');
        return secret();
      case 'PolicyB=PolicyOR(PolicyA,PolicyC)': {
        const policyC = fromHex(policy.policyC ?? POLICY_C_SHA256);
        return PolicyDigest.or([secret(), PolicyDigest.of(alg, policyC)]);
      }
      case 'PolicyPCR': {
        const selection = selectionOf(policy.selection);
        return PolicyDigest.start(session).pcr(selection, pcrDigest(session, selection, valueOf));
      }
      case 'PolicyAuthorize':
        return PolicyDigest.authorize('sha256', fromHex(policy.keyName), fromHex(policy.ref));
      default:
        throw new Error(`unexpected policy ${kind}`);
    }
  }
});

it('the creation of an attestation key that a TPM attested verifies', () => {
  expect(akCreation.expect).toBe('ACCEPT as AK (go-attestation CheckAKParameters rules)');
  const creation = {
    public: fromHex(akCreation.public),
    creationData: fromHex(akCreation.creationData),
    attest: fromHex(akCreation.attest),
    signature: fromHex(akCreation.signature),
  };
  requireAkRules(parsePublic(creation.public));
  const data = verifyAkCreation(creation, { nonce: new Uint8Array() });
  // Its parent is a primary key of the owner hierarchy.
  const parent = qualifiedName(handleName(TPM_RH.OWNER), data.parentName);
  expect(toHex(data.parentQualifiedName)).toBe(toHex(parent));
});

/** The last one: it looks back at what the tests above have read. */
it('no member of the manifest was left out but its note', () => {
  expect(unread()).toEqual(['/note']);
});
