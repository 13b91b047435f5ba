import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/index.ts';
import {
  examineQuote,
  importAttestationKey,
  qualifiedName,
  handleName,
  objectName,
  parsePcrValues,
  parsePublicIn,
  TPM_RH,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type { HashName, PcrSelection } from '../../src/tpm/index.ts';
import { bootKey, bootQuote } from '../support/boots.ts';
import { expectRefusal } from '../support/refusals.ts';
import { dataFile, dataJson } from '../support/vectors.ts';

interface ManifestQuote {
  readonly name: string;
  readonly ak: string;
  readonly nonce: string;
  readonly selection: [HashName, number[]][];
  readonly attest: string;
  readonly signature: string;
  readonly clockInfo: { clock: number; resetCount: number; restartCount: number; safe: number };
  readonly firmwareVersion: string;
  readonly expect: string;
}

interface Manifest {
  readonly keys: Readonly<Record<string, { readonly public: string; readonly name: string }>>;
  readonly quotes: readonly ManifestQuote[];
  readonly negative: readonly Omit<ManifestQuote, 'nonce' | 'selection'>[];
  readonly pcrs: Readonly<Record<HashName, Readonly<Record<string, string>>>>;
}

const manifest = dataJson('generated-swtpm/manifest.json') as Manifest;
const allPcrs = parsePcrValues(Buffer.from(JSON.stringify(manifest.pcrs)));
const keyOf = (name: string) => importAttestationKey(fromHex(manifest.keys[name]!.public));

function given(quote: ManifestQuote) {
  const selection: PcrSelection = quote.selection.map(([bank, pcrs]) => ({ bank, pcrs }));
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

const accepted = manifest.quotes.filter((quote) => quote.expect === 'ACCEPT');
const refused = manifest.quotes.filter((quote) => quote.expect !== 'ACCEPT');

describe('quotes of an emulated TPM', () => {
  it('are all there', () => {
    expect(accepted).toHaveLength(9);
    expect(refused.map(({ name }) => name)).toEqual(['sha1-sig']);
    expect(manifest.negative).toHaveLength(6);
  });

  it.each(accepted.map((quote) => [quote.name, quote] as const))('%s verifies', (_, quote) => {
    const { evidence, key, nonce, selection } = given(quote);
    const verified = verifyQuote(evidence, key, { nonce, selection });
    const { clock, resetCount, restartCount, safe } = quote.clockInfo;
    expect(verified.attest.clockInfo).toEqual({
      clock: BigInt(clock),
      resetCount,
      restartCount,
      safe: safe === 1,
    });
    expect(verified.attest.firmwareVersion).toBe(BigInt(quote.firmwareVersion));
    expect(verified.unchecked).toEqual(['e2', 'e3', 'e15', 'e17', 'e18']);
    expect([...verified.pcrs!].map(({ bank, index, value }) => [bank, index, toHex(value)])).toEqual(
      quote.selection.flatMap(([bank, list]) =>
        list.map((index) => [bank, index, manifest.pcrs[bank][String(index)]]),
      ),
    );
  });

  it('names of the keys are what the TPM said', () => {
    for (const [name, key] of Object.entries(manifest.keys)) {
      expect(toHex(objectName(fromHex(key.public))), name).toBe(key.name);
    }
  });

  it('a signature over SHA-1 is refused', () => {
    const { evidence, key, nonce } = given(refused[0]!);
    expectRefusal('e10', () => verifyQuote(evidence, key, { nonce }));
  });

  it.each([
    ['certify', ['e14']],
    ['nv_certify', ['e14']],
    ['get_time', ['e14']],
    ['forged-right-magic-unrestricted-key', ['e5']],
    ['forged-wrong-magic-unrestricted-key', ['e5', 'e13']],
    ['restricted-ak-signs-wrong-magic-blob', ['e13']],
  ])('%s is no quote', (name, checks) => {
    const { ak, attest, signature } = manifest.negative.find((entry) => entry.name === name)!;
    const examined = examineQuote({ attest: fromHex(attest), signature: fromHex(signature) }, keyOf(ak), {
      nonce: fromHex('000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'),
    });
    expect(examined.failures.map(({ check }) => check)).toEqual(checks);
    expect(examined).toMatchObject({ verified: null, signed: null, pcrs: null });
  });
});

const rounds = ['r0', 'r3'].flatMap((round) => ['main', 'ecc', 'pss'].map((key) => `rounds/${round}/${key}`));
const extra = ['allpcrs', 'bank384', 'ecc384', 'longnonce', 'multibank', 'onepcr', 'shortnonce'].map(
  (name) => `extra/${name}`,
);
const boots = ['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline'];

describe('quotes of booted guests', () => {
  const cases = boots.flatMap((boot) =>
    (boot === 'secure-boot-tampered-cmdline' ? ['.', 'rounds/r0/main'] : ['.', ...rounds, ...extra]).map(
      (quote) => [boot, quote] as const,
    ),
  );

  it.each(cases)('%s %s verifies', (boot, name) => {
    const quote = bootQuote(boot, name);
    const verified = verifyQuote(quote, bootKey(boot, quote.facts.signerPublic), quote);
    expect(Number(verified.attest.clockInfo.clock)).toBe(quote.facts.clock);
    expect(verified.attest.clockInfo.resetCount).toBe(quote.facts.resetCount);
  });

  it.each(boots)('%s: the attestation keys live under the EK in the endorsement hierarchy', (boot) => {
    const nameIn = (file: string) => objectName(parsePublicIn(dataFile(`boots/${boot}/${file}`)).bytes);
    const ek = qualifiedName(handleName(TPM_RH.ENDORSEMENT), nameIn('ek.pub'));
    const quote = bootQuote(boot);
    const key = bootKey(boot);
    const qualifiedSigner = qualifiedName(ek, nameIn('ak.pub'));
    expect(verifyQuote(quote, key, { ...quote, qualifiedSigner }).unchecked).not.toContain('e15');
    const elsewhere = qualifiedName(handleName(TPM_RH.OWNER), nameIn('ak.pub'));
    expectRefusal('e15', () => verifyQuote(quote, key, { ...quote, qualifiedSigner: elsewhere }));
  });

  it('the counters of later rounds follow those of earlier ones, and never the other way', () => {
    const first = bootQuote('secure-boot', 'rounds/r0/main');
    const later = bootQuote('secure-boot', 'rounds/r3/ecc');
    const clock = verifyQuote(first, bootKey('secure-boot'), first).attest.clockInfo;
    const key = bootKey('secure-boot', 'ak-ecc.pub');
    const laterClock = verifyQuote(later, key, { ...later, lastClock: clock }).attest.clockInfo;
    expectRefusal('e17', () =>
      verifyQuote(first, bootKey('secure-boot'), { ...first, lastClock: laterClock }),
    );
  });

  it.each(['plain-boot', 'secure-boot'])('%s: a quote over an empty nonce answers nothing', (boot) => {
    const quote = bootQuote(boot, 'extra/emptynonce');
    expect(quote.nonce).toHaveLength(0);
    expectRefusal('e16', () => verifyQuote(quote, bootKey(boot), quote));
  });

  it.each([
    ['certify', 'ak.pub', ['e14']],
    ['gettime', 'ak.pub', ['e14']],
    ['forged-magic', 'ak.pub', ['e13']],
    ['forged-unrestricted', 'negative/unrestricted.pub', ['e5', 'e16']],
  ])('negative/%s is refused', (name, keyFile, checks) => {
    for (const boot of ['plain-boot', 'secure-boot']) {
      const attest = dataFile(`boots/${boot}/negative/${name}.msg`);
      const signature = dataFile(`boots/${boot}/negative/${name}.sig`);
      const { failures } = examineQuote({ attest, signature }, bootKey(boot, keyFile), {
        nonce: new Uint8Array(32),
      });
      expect(failures.map(({ check }) => check)).toEqual(checks);
    }
  });

  it('a quote of one boot does not verify with the key of another', () => {
    expectRefusal('e12', () => {
      const quote = bootQuote('secure-boot');
      return verifyQuote(quote, bootKey('plain-boot'), quote);
    });
  });
});
