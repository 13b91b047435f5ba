import type { Command } from 'commander';
import { Refusal, toHex } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import type { Denial } from '../../lifecycle/denial.ts';
import type { UncheckedId } from '../../tpm/index.ts';
import { paint, printJson, table } from '../output.ts';
import type { Io } from '../output.ts';
import { examineQuoteFiles, quoteAnswer } from '../quote-examination.ts';
import type { QuoteFiles, QuoteOutcome } from '../quote-examination.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { keyJson, quoteJson } from '../tpm-json.ts';
import { group } from './group.ts';

interface VerifyQuoteOptions extends QuoteFiles {
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
      const outcome = examineQuoteFiles(options);
      const missing = options.strict === true ? strictFailures(outcome.examination.unchecked) : [];
      const failures = [...outcome.failures, ...missing];
      if (failures.length === 0) {
        if (context.json) printJson(context.io, { ok: true, denial: null, ...quoteAnswer(outcome) });
        else printForPeople(context.io, outcome);
        return;
      }
      const denial = denialOf(outcome.failures, missing);
      printDenial(denial, context.io, context.json, quoteAnswer(outcome));
      context.exit(1);
    });
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

/** Where nothing else is wrong, another call helps, not another quote. */
function denialOf(failures: readonly Refusal[], missing: readonly Refusal[]): Denial {
  const denial = toDenial(Refusal.join([...failures, ...missing]), 'environment');
  if (failures.length > 0) return denial;
  const flags = new Set(missing.map(({ check }) => GIVEN_BY_FLAG[check as keyof typeof GIVEN_BY_FLAG]));
  return { ...denial, remedy: `Call it again with ${[...flags].join(', ')}, or without --strict.` };
}

function strictFailures(unchecked: readonly UncheckedId[]): Refusal[] {
  const ids = Object.keys(GIVEN_BY_FLAG) as (keyof typeof GIVEN_BY_FLAG)[]; // the constant's own keys
  return ids
    .filter((id) => unchecked.includes(id))
    .map((id) => new Refusal(id, `not checked (--strict): give ${GIVEN_BY_FLAG[id]}`));
}

function printForPeople(io: Io, { key, examination }: QuoteOutcome): void {
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
