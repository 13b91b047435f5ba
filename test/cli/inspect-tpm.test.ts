import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli } from '../support/cli.ts';

const at = (name: string): string => path.resolve(import.meta.dirname, '../data/boots/secure-boot', name);

async function inspect(what: string, file: string): Promise<unknown> {
  const { exit, stdout } = await cli('inspect', what, file, '--json');
  expect(exit).toBe(0);
  return JSON.parse(stdout);
}

describe('inspect public', () => {
  it('names the template of an EK', async () => {
    for (const file of ['ek.pub', 'ek.tpmt']) {
      expect(await inspect('public', at(file))).toMatchObject({
        ok: true,
        ekTemplate: 'L-1',
        attestationKey: false,
        name: '000b6b75fd1652d1e29d758e00118e32aae99b999b1fd95ea1fe8ab036a83d39ca6c',
        spkiSha256: '11224c7f21105d428032210c0eb82410de47554989ca10ffcd4928d51bc1893d',
        public: { type: 'rsa', keyBits: 2048, symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cfb' } },
      });
    }
  });

  it('says whether a key is an attestation key', async () => {
    expect(await inspect('public', at('ak-ecc.pub'))).toMatchObject({
      attestationKey: true,
      notAttestationKey: [],
      ekTemplate: null,
      public: { type: 'ecc', curve: 'P-256', scheme: { name: 'ecdsa', hash: 'sha256' }, kdf: null },
    });
    expect(await inspect('public', at('negative/unrestricted.pub'))).toMatchObject({
      attestationKey: false,
      notAttestationKey: ['restricted is not set'],
    });
  });

  it('for people says that nothing is verified', async () => {
    const { exit, stdout } = await cli('inspect', 'public', at('ak.pub'));
    expect(exit).toBe(0);
    expect(stdout).toContain('nothing here is verified');
    expect(stdout).toContain('restricted');
  });
});

describe('inspect quote', () => {
  it('shows a quote as verify quote does', async () => {
    expect(await inspect('quote', at('quote.msg'))).toMatchObject({
      type: 'quote',
      quote: {
        clock: '57672',
        firmwareVersion: '2019102300163636',
        pcrSelection: { sha256: expect.any(Array) as unknown },
      },
    });
  });

  it('shows other attestations', async () => {
    expect(await inspect('quote', at('negative/certify.msg'))).toMatchObject({
      type: 'certify',
      qualifyingData: '00ff55aa',
      attested: { name: '000bde245c1cae4942998cc2d197f3d9163bc1604a28b6e8521c6cf337668f99bb75' },
    });
    expect(await inspect('quote', at('negative/gettime.msg'))).toMatchObject({
      type: 'time',
      attested: { time: { time: '64442', clockInfo: { resetCount: 2, safe: true } } },
    });
  });

  it('refuses what no TPM made, and what does not parse', async () => {
    const forged = await cli('inspect', 'quote', at('negative/forged-magic.msg'), '--json');
    expect(forged.exit).toBe(1);
    expect(JSON.parse(forged.stdout)).toMatchObject({ ok: false, denial: { check: 'e13' } });
    for (const what of ['quote', 'public']) {
      const { exit, stdout } = await cli('inspect', what, at('nonce.hex'), '--json');
      expect(exit).toBe(1);
      expect(JSON.parse(stdout)).toMatchObject({ ok: false });
    }
    expect((await cli('inspect', 'public', '/nonexistent')).exit).toBe(2);
  });
});
