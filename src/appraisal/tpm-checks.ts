import { toHex } from '../base/index.ts';
import type { VerifiedQuote } from '../tpm/index.ts';
import type { AppraisalCheck } from './check.ts';
import { miss, pass } from './check.ts';
import type { ReferenceValues } from './references.ts';

/**
 * TPM and PCR values against reference values.
 * @param manufacturer from the EK certificate or the enrollment record; undefined offline
 */
export function tpmChecks(
  quote: VerifiedQuote,
  references: ReferenceValues,
  manufacturer: string | undefined,
): AppraisalCheck[] {
  return [
    ...manufacturerChecks(references, manufacturer),
    ...firmwareChecks(quote, references),
    ...pcrChecks(quote, references),
  ];
}

function manufacturerChecks({ tpm }: ReferenceValues, manufacturer: string | undefined): AppraisalCheck[] {
  if (tpm?.manufacturers === undefined) return [];
  const subject = { id: 'tpm-manufacturer', claim: 'hardware', failed: 97 } as const;
  const expected = [...tpm.manufacturers];
  if (manufacturer !== undefined && expected.includes(manufacturer))
    return [pass(subject, expected, manufacturer)];
  return [miss(subject, 'the TPM’s manufacturer is not listed or not known', expected, manufacturer ?? null)];
}

function firmwareChecks(quote: VerifiedQuote, { tpm }: ReferenceValues): AppraisalCheck[] {
  if (tpm?.firmwareFloor === undefined) return [];
  const subject = { id: 'tpm-firmware', claim: 'hardware', failed: 32 } as const;
  const got = quote.attest.firmwareVersion.toString(16).padStart(16, '0');
  const ok = quote.attest.firmwareVersion >= BigInt(`0x${tpm.firmwareFloor}`);
  return [
    ok
      ? pass(subject, tpm.firmwareFloor, got)
      : miss(subject, 'the TPM’s firmware is older than the floor', tpm.firmwareFloor, got),
  ];
}

function pcrChecks(quote: VerifiedQuote, { pcrs = [] }: ReferenceValues): AppraisalCheck[] {
  const subject = { id: 'pcr-value', claim: 'executables', failed: 33 } as const;
  return pcrs.flatMap(({ name, bank, values }) =>
    Object.entries(values).map(([index, allowed]) => {
      const value = quote.pcrs?.get(bank, Number(index));
      const got = value === undefined ? null : toHex(value);
      if (got !== null && allowed.includes(got)) return pass(subject, [...allowed], got);
      const what = got === null ? 'is not quoted' : 'has a value that is not listed';
      return miss(subject, `PCR ${index} of ${bank} ${what} (set ${name})`, [...allowed], got);
    }),
  );
}
