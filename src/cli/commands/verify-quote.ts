import type { Command } from 'commander';
import { Refusal, fromHex, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import {
  Checks,
  examineQuote,
  isQuote,
  parseAttest,
  parsePcrSelectionText,
  pcrValuesJson,
  uncheckedQuoteChecks,
} from '../../tpm/index.ts';
import type { AttestationKey, PcrSelection, QuoteExamination, UncheckedId } from '../../tpm/index.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { paint, printJson, table } from '../output.ts';
import type { Io } from '../output.ts';
import { MAX_PCR_FILE, decodeKey, decodePcrs, readStructure } from '../quote-files.ts';
import { printDenial } from '../run.ts';
import type { CommandContext } from '../run.ts';
import { keyJson, quoteJson } from '../tpm-json.ts';
import { group } from './group.ts';

interface VerifyQuoteOptions {
  readonly attest: string;
  readonly signature: string;
  readonly ak: string;
  readonly nonce: string;
  readonly pcrs?: string;
  readonly select?: string;
  readonly allowSpki?: boolean;
  readonly strict?: boolean;
}

const HELP = `
--ak is a TPM2B_PUBLIC or TPMT_PUBLIC. --pcrs is JSON ({"sha256":{"0":"hex"}}, or what "tpm pcrs --json" prints) or
what "tpm2_quote -o" wrote in either format. Checks that could not be made are listed as unchecked: e2, e3, e15, e17
and e18 need an enrollment record; e19 needs --select; e21 and e22 need --pcrs.

Example:
  sealgate verify quote --attest quote.msg --signature quote.sig --ak ak.pub --nonce $(cat nonce.hex) \\
    --pcrs quoted_pcrs.json --select sha256:0,1,2,3,4,5,6,7 --strict
`;

/** `sealgate verify quote`: exit 0 only when every check that the flags allow for holds. */
export function registerVerifyQuote(program: Command, context: CommandContext): void {
  group(program, 'verify', 'verify evidence, authorizations and proofs offline; exit 0 only if it verifies')
    .command('quote')
    .description('verify a TPM quote: key, signature, structure, nonce, selection and PCR values')
    .requiredOption('--attest <file>', 'TPMS_ATTEST as TPM2_Quote returned it')
    .requiredOption('--signature <file>', 'TPMT_SIGNATURE')
    .requiredOption('--ak <file>', 'public area of the attestation key')
    .requiredOption('--nonce <hex>', 'the qualifyingData that was asked for')
    .option('--pcrs <file>', 'the PCR values that were quoted')
    .option('--select <selection>', 'the selection that was asked for, like sha256:0,1,7+sha384:0')
    .option('--allow-spki', 'take a bare public key as --ak; nothing then shows that a TPM holds it')
    .option('--strict', 'refuse when a check was not made that a flag could have given')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((options: VerifyQuoteOptions) => {
      const outcome = verify(options);
      const [first] = outcome.failures;
      if (first === undefined) {
        if (context.json) printJson(context.io, { ok: true, denial: null, ...answerJson(outcome) });
        else printForPeople(context.io, outcome);
        return;
      }
      const denial = toDenial(Refusal.join(outcome.failures), 'environment');
      printDenial(denial, context.io, context.json, answerJson(outcome));
      context.exit(1);
    });
}

interface Outcome {
  readonly failures: readonly Refusal[];
  readonly key: AttestationKey | undefined;
  readonly examination: Pick<QuoteExamination, 'signed' | 'pcrs' | 'unchecked'>;
}

function verify(options: VerifyQuoteOptions): Outcome {
  const nonce = inUsage('--nonce', () => fromHex(options.nonce, 'nonce'));
  const selection = inUsage('--select', () =>
    options.select === undefined ? undefined : parsePcrSelectionText(options.select),
  );
  const expected = { nonce, ...(selection && { selection }) };
  const form = new Checks();
  const attest = form.run(() => readStructure(options.attest, 'TPMS_ATTEST'));
  const signature = form.run(() => readStructure(options.signature, 'TPMT_SIGNATURE'));
  const ak = form.run(() => readStructure(options.ak, 'TPM2B_PUBLIC'));
  const file = options.pcrs;
  const pcrFile =
    file === undefined ? undefined : form.run(() => readInput(file, 'PCR values', MAX_PCR_FILE));
  const key = ak && form.run(() => decodeKey(ak, options.allowSpki === true));
  if (attest === undefined || signature === undefined || key === undefined) {
    const unchecked = uncheckedQuoteChecks(expected, key?.area === null, file !== undefined);
    return { failures: form.failures, key, examination: { signed: null, pcrs: null, unchecked } };
  }
  const pcrs = pcrFile && form.run(() => decodePcrs(pcrFile, claimedSelection(attest)));
  const examination = examineQuote({ attest, signature, ...(pcrs && { pcrs }) }, key, expected);
  const failures = [...form.failures, ...examination.failures];
  if (options.strict === true) failures.push(...strictFailures(examination.unchecked));
  return { failures, key, examination };
}

/** What is wrong with a flag's value is wrong use of the command line. */
function inUsage<T>(flag: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Refusal) throw new UsageError(`${flag}: ${error.reason}`);
    throw error;
  }
}

/** The selection that a quote names, believed only to cut a file of bare values into pieces. */
function claimedSelection(attest: Uint8Array): PcrSelection | undefined {
  const parsed = new Checks().run(() => parseAttest(attest));
  return parsed !== undefined && isQuote(parsed) ? parsed.attested.pcrSelection : undefined;
}

/** What the flags could have given, and what each of these checks then needs. */
const GIVEN_BY_FLAG = {
  e5: '--ak with a TPM’s public area',
  e7: '--ak with a TPM’s public area',
  e9: '--ak with a TPM’s public area',
  e10: '--ak with a TPM’s public area',
  e19: '--select',
  e21: '--pcrs',
  e22: '--pcrs',
} as const;

function strictFailures(unchecked: readonly UncheckedId[]): Refusal[] {
  const ids = Object.keys(GIVEN_BY_FLAG) as (keyof typeof GIVEN_BY_FLAG)[]; // the constant's own keys
  return ids
    .filter((id) => unchecked.includes(id))
    .map((id) => new Refusal(id, `not checked (--strict): give ${GIVEN_BY_FLAG[id]}`));
}

/** The answer's own members: established, or null. */
function answerJson({ key, examination }: Outcome): JsonObject {
  const { signed, pcrs, unchecked } = examination;
  return {
    unchecked: [...unchecked],
    quote: signed === null ? null : quoteJson(signed),
    key: key === undefined ? null : keyJson(key),
    pcrs: pcrs === null ? null : pcrValuesJson(pcrs),
  };
}

function printForPeople(io: Io, { key, examination }: Outcome): void {
  const { signed, pcrs, unchecked } = examination;
  if (key === undefined || signed === null) return;
  const facts = { ...keyJson(key), ...quoteJson(signed) };
  io.stdout(`${paint(io, 'green', 'verified')} quote, signed by a ${key.type} key\n`);
  io.stdout(
    table(
      Object.entries(facts).map(([name, value]) => [
        `  ${name}`,
        typeof value === 'string' ? value : JSON.stringify(value),
      ]),
    ),
  );
  for (const { bank, index, value } of pcrs ?? []) {
    io.stdout(`  ${bank} ${String(index).padStart(2)}  ${toHex(value)}\n`);
  }
  if (unchecked.length > 0) {
    io.stdout(`${paint(io, 'yellow', 'unchecked')} ${unchecked.join(' ')} (see --help)\n`);
  }
}
