import { equalBytes, refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { formatPcrSelection, parseAttest, pcrDigest, pcrValuesJson } from '../tpm/index.ts';
import type { ClaimedPcrs, PcrSelection, PcrValue } from '../tpm/index.ts';
import type { Session, Tpm, TpmObject } from '../../native/index.ts';

/** A quote and the values that it covers. */
export interface HostQuote {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  /** The values by bank and index. */
  readonly values: ClaimedPcrs;
  /** The same as evidence carries it: `{"sha256":{"0":"hex"}}`. */
  readonly pcrs: JsonObject;
}

/** PCR 10 moves while a host works: the values are read again until they are those that the quote covers. */
const TRIES = 8;

/**
 * TPM2_Quote with the values that it signed. The values are compared with the signed digest, so that what is sent is
 * never off by an entry that IMA measured in between.
 * @param auth proves the AK's authValue
 * @throws Refusal `tpm-pcr` when they changed during each of 8 attempts; TpmError
 */
export async function quoteWithValues(
  tpm: Tpm,
  key: TpmObject,
  auth: Session,
  selection: PcrSelection,
  qualifyingData: Uint8Array,
): Promise<HostQuote> {
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const { attest, signature } = await tpm.quote({ key, auth, qualifyingData, selection });
    const { values } = await tpm.pcrRead(selection);
    const { attested } = parseAttest(attest);
    if (attested.type !== 'quote')
      return refuse('tpm-pcr', 'the TPM answered TPM2_Quote with something else');
    const digest = pcrDigest('sha256', attested.pcrSelection, (bank, index) => values.get(bank)?.get(index));
    if (!equalBytes(digest, attested.pcrDigest)) continue;
    return { attest, signature, values, pcrs: pcrValuesJson(flat(values)) };
  }
  return refuse(
    'tpm-pcr',
    `PCRs of ${formatPcrSelection(selection)} changed during each of ${String(TRIES)} quotes`,
  );
}

function flat(values: ClaimedPcrs): PcrValue[] {
  return [...values].flatMap(([bank, ofBank]) =>
    [...ofBank].map(([index, value]) => ({ bank, index, value })),
  );
}
