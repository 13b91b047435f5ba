import { fromHex } from '../base/index.ts';
import type { JsonObject, Refusal } from '../base/index.ts';
import {
  Checks,
  examineQuote,
  isQuote,
  parseAttest,
  parsePcrSelectionText,
  pcrValuesJson,
  uncheckedQuoteChecks,
} from '../tpm/index.ts';
import type { AttestationKey, PcrSelection, QuoteExamination } from '../tpm/index.ts';
import { inUsage } from './errors.ts';
import { readInput } from './input.ts';
import { MAX_PCR_FILE, decodeKey, decodePcrs, readStructure } from './quote-files.ts';
import { keyJson, quoteJson } from './tpm-json.ts';

/** The files and values that flags name for one quote. */
export interface QuoteFiles {
  readonly attest: string;
  readonly signature: string;
  readonly ak: string;
  /** Hex. */
  readonly nonce: string;
  readonly pcrs?: string;
  /** Text form of the selection that was asked for. */
  readonly select?: string;
  readonly allowSpki?: boolean;
}

/** What the files come to: everything that failed, and what was established all the same. */
export interface QuoteOutcome {
  readonly failures: readonly Refusal[];
  readonly key: AttestationKey | undefined;
  readonly examination: Pick<QuoteExamination, 'signed' | 'pcrs' | 'unchecked'> &
    Partial<Pick<QuoteExamination, 'verified'>>;
}

/**
 * Reads the files of a quote and examines it.
 * @throws UsageError for a flag's value that can't be one, and for files that can't be opened
 */
export function examineQuoteFiles(files: QuoteFiles): QuoteOutcome {
  const nonce = inUsage('--nonce', () => fromHex(files.nonce, 'nonce'));
  const selection = inUsage('--select', () =>
    files.select === undefined ? undefined : parsePcrSelectionText(files.select),
  );
  const expected = { nonce, ...(selection && { selection }) };
  const form = new Checks();
  const attest = form.run(() => readStructure(files.attest, 'TPMS_ATTEST'));
  const signature = form.run(() => readStructure(files.signature, 'TPMT_SIGNATURE'));
  const ak = form.run(() => readStructure(files.ak, 'TPM2B_PUBLIC'));
  const file = files.pcrs;
  const pcrFile =
    file === undefined ? undefined : form.run(() => readInput(file, 'PCR values', MAX_PCR_FILE));
  const key = ak && form.run(() => decodeKey(ak, files.allowSpki === true));
  if (attest === undefined || signature === undefined || key === undefined) {
    const unchecked = uncheckedQuoteChecks(expected, key?.area === null, file !== undefined);
    return { failures: form.failures, key, examination: { signed: null, pcrs: null, unchecked } };
  }
  const pcrs = pcrFile && form.run(() => decodePcrs(pcrFile, claimedSelection(attest)));
  const examination = examineQuote({ attest, signature, ...(pcrs && { pcrs }) }, key, expected);
  return { failures: [...form.failures, ...examination.failures], key, examination };
}

/** The selection that a quote names, believed only to cut a file of bare values into pieces. */
function claimedSelection(attest: Uint8Array): PcrSelection | undefined {
  const parsed = new Checks().run(() => parseAttest(attest));
  return parsed !== undefined && isQuote(parsed) ? parsed.attested.pcrSelection : undefined;
}

/** The answer's own members: established, or null. */
export function quoteAnswer({ key, examination }: QuoteOutcome): JsonObject {
  const { signed, pcrs, unchecked } = examination;
  return {
    unchecked: [...unchecked],
    quote: signed === null ? null : quoteJson(signed),
    key: key === undefined ? null : keyJson(key),
    pcrs: pcrs === null ? null : pcrValuesJson(pcrs),
  };
}
