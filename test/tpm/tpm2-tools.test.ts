import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { TpmObject } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  TPM_RH,
  akTemplate,
  encodePublic,
  handleName,
  importAttestationKey,
  importSizedAttestationKey,
  objectName,
  parsePcrSelectionText,
  parsePlainPcrs,
  parsePublic,
  parsePublicIn,
  parseSerializedPcrs,
  parseSignature,
  pcrDigest,
  publicSpki,
  qualifiedName,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type { PublicArea } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';
import { TpmTools } from '../support/tpm-tools.ts';
import { serializedPcrs } from '../support/serialized-pcrs.ts';
import { systemRandom } from '../support/random.ts';

// Quotes agree with tpm2-tools both ways: we verify what tpm2_quote makes, tpm2_checkquote verifies what we make.
let tpm: Swtpm;
const tools = new TpmTools(() => tpm);
beforeAll(async () => {
  tpm = await startSwtpm({ clone: true, banks: ['sha1', 'sha256', 'sha384'] });
  for (let index = 0; index < 24; index++) {
    if (index >= 17 && index <= 22) continue; // DRTM PCRs are not for us to extend
    const values = ['sha1', 'sha256', 'sha384'].map(
      (bank, at) => `${bank}=${extension(index, [20, 32, 48][at]!)}`,
    );
    await tools.run('tpm2_pcrextend', `${index}:${values.join()}`);
  }
});
afterEach(() => tools.flush());
afterAll(() => tpm.stop());

function extension(index: number, size: number): string {
  return (index + 1).toString(16).padStart(2, '0').repeat(size);
}

const ATTRIBUTES = 'restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth';
const firstPcrs = (count: number): string => Array.from({ length: count }, (_, index) => index).join(',');

/** A primary attestation key in the endorsement hierarchy, made by tpm2-tools; its context file's name. */
async function toolKey(scheme: string): Promise<string> {
  const context = tools.file('ak.ctx');
  const key = tools.file('ak.pub');
  // prettier-ignore
  await tools.run('tpm2_createprimary', '-C', 'e', '-g', 'sha256', '-G', scheme, '-a', ATTRIBUTES, '-c', context);
  await tools.run('tpm2_readpublic', '-c', context, '-o', key);
  return context;
}

/** What tpm2_quote answers, and the same seen by the verifier. */
async function toolQuote(
  context: string,
  selection: string,
  format: 'serialized' | 'values' = 'serialized',
  scheme: readonly string[] = [],
) {
  const nonce = systemRandom.bytes(32);
  // prettier-ignore
  await tools.run('tpm2_quote', '-c', context, '-l', selection, '-q', toHex(nonce), '-F', format, ...scheme,
    '-m', tools.file('quote.msg'), '-s', tools.file('quote.sig'), '-o', tools.file('quote.pcrs'));
  await tools.flush();
  const requested = parsePcrSelectionText(selection);
  const file = tools.read('quote.pcrs');
  return {
    evidence: {
      attest: tools.read('quote.msg'),
      signature: tools.read('quote.sig'),
      pcrs: format === 'serialized' ? parseSerializedPcrs(file) : parsePlainPcrs(file, requested),
    },
    key: importSizedAttestationKey(tools.read('ak.pub')),
    expected: {
      nonce,
      selection: requested,
      qualifiedSigner: qualifiedName(
        handleName(TPM_RH.ENDORSEMENT),
        objectName(parsePublicIn(tools.read('ak.pub')).bytes),
      ),
      lastClock: null,
    },
  };
}

describe('we verify what tpm2_quote makes', () => {
  it.each([
    ['RSASSA', 'rsa2048:rsassa-sha256:null', []],
    ['RSASSA with SHA-384', 'rsa2048:rsassa-sha384:null', ['-g', 'sha384']],
    ['RSAPSS', 'rsa2048:rsapss-sha256:null', ['--scheme', 'rsapss']],
    ['ECDSA P-256', 'ecc256:ecdsa-sha256:null', []],
    ['ECDSA P-384', 'ecc384:ecdsa-sha384:null', ['-g', 'sha384']],
  ])('%s, over one bank and over two, in both file formats', async (_, scheme, flags) => {
    const context = await toolKey(scheme);
    for (const [selection, format] of [
      ['sha256:0,1,7', 'serialized'],
      ['sha384:all', 'values'],
      ['sha256:all+sha384:0,2,14', 'serialized'],
      ['sha384:0,23+sha256:7', 'values'],
      ['sha1:0+sha256:0+sha384:0', 'serialized'],
    ] as const) {
      const { evidence, key, expected } = await toolQuote(context, selection, format, flags);
      const verified = verifyQuote(evidence, key, expected);
      expect(verified.unchecked).toEqual(['e2', 'e3', 'e18']);
      const bank = expected.selection[0]!.bank;
      expect(verified.pcrs?.get(bank, expected.selection[0]!.pcrs[0]!)).toHaveLength(
        { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }[bank],
      );
    }
  });

  it('over 1 to 24 PCRs', async () => {
    const context = await toolKey('ecc256:ecdsa-sha256:null');
    for (let count = 1; count <= 24; count++) {
      const { evidence, key, expected } = await toolQuote(context, `sha256:${firstPcrs(count)}`);
      expect([...verifyQuote(evidence, key, expected).pcrs!]).toHaveLength(count);
    }
  });

  it('but not when the key lives in the owner hierarchy', async () => {
    const context = tools.file('owner.ctx');
    // prettier-ignore
    await tools.run('tpm2_createprimary', '-C', 'o', '-G', 'ecc256:ecdsa-sha256:null', '-a', ATTRIBUTES, '-c', context);
    await tools.run('tpm2_readpublic', '-c', context, '-o', tools.file('ak.pub'));
    const { evidence, key, expected } = await toolQuote(context, 'sha256:0');
    expectRefusal('e15', () => verifyQuote(evidence, key, expected));
  });
});

describe('RSAPSS against openssl, since tpm2_checkquote 5.4 can’t check it', () => {
  it('openssl and we accept the same quote of tpm2_quote and refuse it changed', async () => {
    const { evidence, key, expected } = await toolQuote(
      await toolKey('rsa2048:rsapss-sha256:null'),
      'sha256:0,7',
      'values',
      ['--scheme', 'rsapss'],
    );
    const { area } = parsePublicIn(tools.read('ak.pub'));
    expect(openssl(area, evidence.attest, evidence.signature)).toContain('Verified OK');
    verifyQuote(evidence, key, expected);
    const attest = changed(evidence.attest);
    expect(() => openssl(area, attest, evidence.signature)).toThrow();
    expectRefusal('e12', () => verifyQuote({ ...evidence, attest }, key, expected));
  });

  it('and the same quote that node-tpm2 gets from a key with that scheme', async () => {
    const template = { ...akTemplate('rsa-2048'), scheme: { name: 'rsapss', hash: 'sha256' } } as PublicArea;
    const quotes = await ourQuotes(template, ['sha256:0,7', 'sha1:1+sha384:0,23']);
    expect(quotes).toHaveLength(2);
    for (const { attest, signature, publicArea, selection, nonce } of quotes) {
      expect(publicArea).toMatchObject({ type: 'rsa', scheme: { name: 'rsapss', hash: 'sha256' } });
      expect(openssl(publicArea, attest, signature)).toContain('Verified OK');
      expect(() => openssl(publicArea, changed(attest), signature)).toThrow();
      const key = importAttestationKey(encodePublic(publicArea));
      const expected = { nonce, selection: parsePcrSelectionText(selection) };
      expect(verifyQuote({ attest, signature }, key, expected).attest.extraData).toEqual(nonce);
      expectRefusal('e12', () => verifyQuote({ attest: changed(attest), signature }, key, expected));
    }
  });

  function changed(attest: Uint8Array): Uint8Array {
    return attest.map((byte, at) => (at === 70 ? byte ^ 1 : byte));
  }

  /** What openssl says; it throws unless that is "Verified OK". */
  function openssl(area: PublicArea, attest: Uint8Array, signature: Uint8Array): string {
    const parsed = parseSignature(signature);
    if (parsed.scheme !== 'rsapss') throw new Error(parsed.scheme);
    // prettier-ignore
    return execFileSync('openssl', ['dgst', '-sha256', '-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-2',
      '-verify', tools.write('ak.pem', pemOf(area)), '-signature', tools.write('raw.sig', parsed.signature),
      tools.write('quote.bin', attest)], { encoding: 'utf8', stdio: 'pipe' });
  }
});

describe('tpm2_checkquote accepts what we make', () => {
  const ecc384 = {
    ...akTemplate('ecc-p256'),
    curve: 'P-384',
    scheme: { name: 'ecdsa', hash: 'sha384' },
  } as PublicArea;

  it.each([
    ['RSASSA', akTemplate('rsa-2048'), 'sha256'],
    ['ECDSA P-256', akTemplate('ecc-p256'), 'sha256'],
    ['ECDSA P-384', ecc384, 'sha384'],
  ] as const)('%s: one and two banks, 1 to 24 PCRs', async (_, template, hash) => {
    const selections = [
      ...Array.from({ length: 24 }, (__, index) => `sha256:${firstPcrs(index + 1)}`),
      'sha384:0,7,14',
      'sha256:0,1,7+sha384:0,23',
    ];
    const quotes = await ourQuotes(template, selections);
    for (const { selection, nonce, attest, signature, values, publicArea } of quotes) {
      const pem = tools.write('ak.pem', pemOf(publicArea));
      const message = tools.write('our.msg', attest);
      const check = (claimed: readonly Uint8Array[]): Promise<string> =>
        // prettier-ignore
        tools.run('tpm2_checkquote', '-u', pem, '-m', message, '-g', hash, '-s', tools.write('our.sig', signature),
          '-q', toHex(nonce), '-f', tools.write('our.pcrs', serializedPcrs(parsePcrSelectionText(selection), claimed)));
      await check(values);
      const [first = new Uint8Array(), ...others] = values;
      if (selection === 'sha256:0') {
        await expect(check([first.map((byte) => byte ^ 1), ...others])).rejects.toThrow('tpm2_checkquote');
      }
    }
  });
});

/** Quotes through node-tpm2, with the values of their PCRs one after the other. */
async function ourQuotes(template: PublicArea, selections: readonly string[]) {
  const connection = await Tpm.open(tpm.tcti);
  try {
    const key: TpmObject = (
      await connection.createPrimary('endorsement', { template: encodePublic(template) })
    ).object;
    const publicArea = parsePublic(key.publicBytes);
    const quotes = [];
    for (const selection of selections) {
      const nonce = systemRandom.bytes(32);
      const parsed = parsePcrSelectionText(selection);
      const quoted = await connection.quote({ key, qualifyingData: nonce, selection: parsed });
      const reading = await connection.pcrRead(parsed);
      const values = parsed.flatMap(({ bank, pcrs }) =>
        pcrs.map((index) => reading.values.get(bank)!.get(index)!),
      );
      verifyQuote({ ...quoted, pcrs: reading.values }, importAttestationKey(key.publicBytes), {
        nonce,
        selection: parsed,
      });
      quotes.push({ ...quoted, selection, nonce, values, publicArea });
    }
    await key.flush();
    return quotes;
  } finally {
    await connection.close();
  }
}

function pemOf(area: PublicArea): Uint8Array {
  const key = createPublicKey({ key: Buffer.from(publicSpki(area)), format: 'der', type: 'spki' });
  return new Uint8Array(Buffer.from(key.export({ type: 'spki', format: 'pem' })));
}

it('the digest that a policy binds is the digest that a quote signs', async () => {
  const { evidence, key, expected } = await toolQuote(
    await toolKey('ecc256:ecdsa-sha256:null'),
    'sha384:1,2',
  );
  const { attested } = verifyQuote(evidence, key, expected).attest;
  const value = (bank: 'sha1' | 'sha256' | 'sha384' | 'sha512', index: number) =>
    evidence.pcrs.get(bank)?.get(index);
  expect(toHex(pcrDigest('sha256', expected.selection, value))).toBe(toHex(attested.pcrDigest));
});
