import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Tpm } from '../../native/index.ts';
import type { Hierarchy } from '../../native/index.ts';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import {
  TPM_RH,
  akTemplate,
  encodePublic,
  handleName,
  importAttestationKey,
  parseAttest,
  qualifiedName,
  verifyQuote,
} from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';

// PROTOCOL 12, "AK in owner or null hierarchy": keys with equal attributes, told apart by their qualified names.
const selection = [{ bank: 'sha256', pcrs: [0, 7] }] as const;
const nonce = new Uint8Array(32).fill(0x4e);
let emulator: Swtpm;
let tpm: Tpm;
beforeAll(async () => {
  emulator = await startSwtpm({ clone: true });
  tpm = await Tpm.open(emulator.tcti);
});
afterAll(async () => {
  await tpm.close();
  await emulator.stop();
});

async function quoteIn(hierarchy: Hierarchy) {
  const template = encodePublic(akTemplate('ecc-p256'));
  const { object } = await tpm.createPrimary(hierarchy, { template });
  await using key = object;
  const evidence = await tpm.quote({ key, selection, qualifyingData: nonce });
  const qualifiedSigner = qualifiedName(handleName(TPM_RH.ENDORSEMENT), key.name);
  return {
    evidence,
    key: importAttestationKey(key.publicBytes),
    expected: { nonce, selection, qualifiedSigner },
  };
}

describe('an attestation key', () => {
  it('in the endorsement hierarchy is accepted, and its quotes say the real counters', async () => {
    const { evidence, key, expected } = await quoteIn('endorsement');
    const { attest } = verifyQuote(evidence, key, expected);
    const { clockInfo } = await tpm.readClock();
    expect(attest.clockInfo).toMatchObject({
      resetCount: clockInfo.resetCount,
      restartCount: clockInfo.restartCount,
    });
  });

  it.each(['owner', 'null'] as const)(
    'in the %s hierarchy is refused (e15): its counters are hidden',
    async (hierarchy) => {
      const { evidence, key, expected } = await quoteIn(hierarchy);
      expectRefusal('e15', () => verifyQuote(evidence, key, expected));
      const { clockInfo } = await tpm.readClock();
      expect(parseAttest(evidence.attest).clockInfo.resetCount).not.toBe(clockInfo.resetCount);
    },
  );
});
