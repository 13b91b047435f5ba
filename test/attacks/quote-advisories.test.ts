import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/index.ts';
import {
  encodeAttest,
  encodePublic,
  examineQuote,
  importAttestationKey,
  parseAttest,
  parsePublic,
  parseSignature,
  verifyQuote,
} from '../../src/tpm/index.ts';
import type { PublicArea } from '../../src/tpm/index.ts';
import { bootKey, bootQuote } from '../support/boots.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NONCE, quoteOf, signedQuote, softwareAk, valuesOf } from '../support/software-ak.ts';
import { dataJson } from '../support/vectors.ts';

// One test for each published advisory about the verification of quotes
// that concerns this layer. Event logs, TLS and policy have theirs elsewhere.

interface Manifest {
  readonly keys: Readonly<Record<string, { readonly public: string }>>;
  readonly negative: readonly { name: string; ak: string; attest: string; signature: string }[];
}
const manifest = dataJson('generated-swtpm/manifest.json') as Manifest;

function negative(name: string): string[] {
  const { ak, attest, signature } = manifest.negative.find((entry) => entry.name === name)!;
  const key = importAttestationKey(fromHex(manifest.keys[ak]!.public));
  const evidence = { attest: fromHex(attest), signature: fromHex(signature) };
  return examineQuote(evidence, key, { nonce: NONCE }).failures.map(({ check }) => check);
}

/** A quote over PCRs 0–4 of a real boot's kind. */
const AK = softwareAk();
const KEY = importAttestationKey(AK.publicBytes);
const QUOTED = [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4] }] as const;

describe('published advisories about quotes', () => {
  it('CVE-2022-0317, GHSA-99cg-575x-774p: PCR 7 given with a quote over 0–4 is not trusted', () => {
    const evidence = signedQuote(AK, quoteOf(QUOTED));
    const pcrs = valuesOf([{ bank: 'sha256', pcrs: [0, 1, 2, 3, 4, 7] }]);
    expectRefusal('e21', () => verifyQuote({ ...evidence, pcrs }, KEY, { nonce: NONCE }));
    const quote = bootQuote('secure-boot', 'extra/onepcr');
    const all = bootQuote('secure-boot', 'extra/allpcrs').pcrs;
    expectRefusal('e21', () => verifyQuote({ ...quote, pcrs: all }, bootKey('secure-boot'), quote));
  });

  it.each(['CVE-2024-29038', 'CVE-2024-29040, GHSA-837m-jw3m-h9p6', 'Fraunhofer charra #90, #91'])(
    '%s: what a restricted key signs that no TPM made is no quote (magic)',
    () => {
      expect(negative('restricted-ak-signs-wrong-magic-blob')).toContain('e13');
      const forged = encodeAttest(quoteOf());
      forged.set([0x54, 0x43, 0x47, 0x00]);
      const evidence = { attest: forged, signature: AK.sign(forged) };
      expectRefusal('e13', () => verifyQuote(evidence, KEY, { nonce: NONCE }));
    },
  );

  it('CVE-2024-29039: values of other PCRs than were quoted, and quotes of other PCRs than were asked', () => {
    const evidence = signedQuote(AK, quoteOf(QUOTED));
    const swapped = valuesOf([{ bank: 'sha256', pcrs: [0, 1, 2, 3, 7] }]);
    swapped.set('sha256', new Map([...swapped.get('sha256')!]));
    expectRefusal('e21', () => verifyQuote({ ...evidence, pcrs: swapped }, KEY, { nonce: NONCE }));
    const selection = [{ bank: 'sha256', pcrs: [0, 1, 2, 3, 7] }] as const;
    expectRefusal('e19', () => verifyQuote(evidence, KEY, { nonce: NONCE, selection }));
  });

  it('GHSA-gwfg-w3jr-xh66, GHSA-x5j2-26fc-hhc3: other attestations by the same key are no quotes', () => {
    for (const name of ['certify', 'nv_certify', 'get_time']) expect(negative(name), name).toEqual(['e14']);
  });

  it('go-attestation #491: a key that fails to decode verifies nothing', () => {
    const offCurve = { ...AK.area, x: new Uint8Array(32).fill(7) } as PublicArea;
    const key = importAttestationKey(encodePublic(offCurve));
    expect(key.verifying).toBeNull();
    const refusal = expectRefusal('e6', () => verifyQuote(signedQuote(AK), key, { nonce: NONCE }));
    expect(refusal.failures.map(({ check }) => check)).toEqual(['e6']);
  });

  it('go-attestation #509: a key on P-192 or P-224', () => {
    for (const [curve, size] of [
      ['P-192', 24],
      ['P-224', 28],
    ] as const) {
      const area = { ...AK.area, curve, x: new Uint8Array(size).fill(1), y: new Uint8Array(size).fill(1) };
      const key = importAttestationKey(encodePublic(area));
      expectRefusal('e6', () => verifyQuote(signedQuote(AK), key, { nonce: NONCE }));
    }
  });

  it('go-attestation #515: an RSA key with an ECC signature, and the reverse', () => {
    const rsa = softwareAk({ bits: 2048 });
    const { attest, signature } = signedQuote(AK);
    const rsaKey = importAttestationKey(rsa.publicBytes);
    expectRefusal('e9', () => verifyQuote({ attest, signature }, rsaKey, { nonce: NONCE }));
    expectRefusal('e9', () => verifyQuote({ attest, signature: rsa.sign(attest) }, KEY, { nonce: NONCE }));
  });

  it('go-attestation #432: an unknown hash anywhere is refused, never looked up', () => {
    const { publicBytes } = AK;
    const attest = encodeAttest(quoteOf());
    const signature = AK.sign(attest);
    const structures = [
      { bytes: publicBytes, parse: parsePublic },
      { bytes: attest, parse: parseAttest },
      { bytes: signature, parse: parseSignature },
    ];
    for (const { bytes, parse } of structures) {
      let places = 0;
      for (let at = 2; at + 1 < bytes.length; at++) {
        if (bytes[at] !== 0x00 || bytes[at + 1] !== 0x0b) continue;
        const changed = bytes.slice();
        changed[at + 1] = 0x99;
        expectRefusal('malformed', () => parse(changed));
        places++;
      }
      expect(places).toBeGreaterThan(0);
    }
  });

  it('CVE-2023-43630, CVE-2021-42299: a quote of the SHA-1 bank alone is not enough', () => {
    const evidence = signedQuote(AK, quoteOf([{ bank: 'sha1', pcrs: [0, 1, 2, 3, 4, 7, 14] }]));
    expectRefusal('e19', () => verifyQuote(evidence, KEY, { nonce: NONCE }));
  });

  it('CVE-2023-43630: a quote without a PCR that policy requires', () => {
    const required = [{ bank: 'sha256', pcrs: [0, 14] }] as const;
    const evidence = signedQuote(AK, quoteOf(QUOTED));
    expectRefusal('e19', () => verifyQuote(evidence, KEY, { nonce: NONCE, required }));
  });
});
