import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  TPM_RH,
  examineQuote,
  handleName,
  objectName,
  parsePublicIn,
  qualifiedName,
  verifyQuote,
} from '../../src/tpm/index.ts';
import { bootKey, bootQuote } from '../support/boots.ts';
import { expectRefusal } from '../support/refusals.ts';
import { dataFile } from '../support/vectors.ts';

const DATA = path.resolve(import.meta.dirname, '../data/boots');
const boots = readdirSync(DATA).sort();
/** Every quote of every boot, found by the file that each has. */
const captured = boots.flatMap((boot) =>
  readdirSync(path.join(DATA, boot), { recursive: true, encoding: 'utf8' })
    .filter((file) => path.basename(file) === 'quote.msg')
    .map((file) => [boot, path.dirname(file)] as const)
    .sort(),
);
/** Two of them answer an empty nonce. */
const cases = captured.filter(([boot, name]) => bootQuote(boot, name).nonce.length > 0);
const empty = captured.filter(([boot, name]) => bootQuote(boot, name).nonce.length === 0);

describe('quotes of booted guests', () => {
  it('are all there: 47 that verify, 2 that answer nothing', () => {
    expect(boots).toEqual(['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline']);
    expect(cases).toHaveLength(47);
    expect(empty).toEqual([
      ['plain-boot', 'extra/emptynonce'],
      ['secure-boot', 'extra/emptynonce'],
    ]);
  });

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

  it.each(empty)('%s %s: a quote over an empty nonce answers nothing', (boot, name) => {
    const quote = bootQuote(boot, name);
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
