import type { Command } from 'commander';
import { Refusal } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import type { EvidenceFiles, EvidenceOutcome } from '../evidence-examination.ts';
import { evidenceAnswer, evidenceOf, examineEvidence, readReferences } from '../evidence-examination.ts';
import { paint, printJson, printable, table } from '../output.ts';
import type { Io } from '../output.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { addQuirk } from '../quirks.ts';
import { group } from './group.ts';

interface VerifyEvidenceOptions extends Partial<EvidenceFiles> {
  readonly dir?: string;
  readonly references?: string;
}

const HELP = `
A directory has quote.msg, quote.sig, ak.pub, nonce.hex, quoted_pcrs.json, and where the host has them eventlog.bin and
ima_binary.bin: what "sealgate evidence collect" writes. Without an event log every quoted PCR but 10 is listed as
unchecked; without reference values nothing is appraised, and unknown files can't be told from known ones.

Example:
  sealgate verify evidence --dir evidence/ --references references.json
`;

/** `sealgate verify evidence`: exit 0 only when all that was given verifies and, with references, is affirmed. */
export function registerVerifyEvidence(program: Command, context: CommandContext): void {
  group(program, 'verify', 'verify evidence, authorizations and proofs offline; exit 0 only if it verifies')
    .command('evidence')
    .description('verify a quote with event log and IMA list, and appraise it against reference values')
    .option('--dir <directory>', 'a directory of evidence')
    .option('--attest <file>', 'TPMS_ATTEST')
    .option('--signature <file>', 'TPMT_SIGNATURE')
    .option('--ak <file>', 'public area of the attestation key')
    .option('--nonce <hex>', 'the qualifyingData that was asked for')
    .option('--pcrs <file>', 'the PCR values that were quoted')
    .option('--eventlog <file>', 'binary_bios_measurements')
    .option('--ima <file>', 'binary_runtime_measurements')
    .option('--quirk <name>', 'allow a named firmware habit of the event log; repeatable', addQuirk)
    .option('--select <selection>', 'the selection that was asked for, like sha256:0,1,7')
    .option('--references <file>', 'reference values, as "sealgate policy learn" writes them')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((options: VerifyEvidenceOptions) => {
      const { references: file, ...evidence } = options;
      const references = file === undefined ? null : readReferences(file);
      const outcome = examineEvidence(evidenceOf(evidence), references);
      const answer = evidenceAnswer(outcome, references?.ima !== undefined);
      if (outcome.failures.length === 0) {
        if (context.json) printJson(context.io, { ok: true, denial: null, ...answer });
        else printForPeople(context.io, outcome);
        return;
      }
      printDenial(toDenial(Refusal.join(outcome.failures), 'environment'), context.io, context.json, answer);
      if (!context.json) printFailures(context.io, outcome);
      context.exit(1);
    });
}

function printForPeople(io: Io, { quote, eventLog, ima, appraisal, unchecked }: EvidenceOutcome): void {
  const events = eventLog?.log?.events.length ?? 0;
  const rows = [
    ['quote', `verified, ${quote.key?.type ?? ''} key`],
    ['event log', eventLog === null ? 'not given' : `${String(events)} events, matches the quoted PCRs`],
    [
      'IMA list',
      ima === null ? 'not given' : `${String(ima.consumed)} of ${String(ima.entries)} entries proved`,
    ],
    ['appraisal', appraisal === null ? 'no reference values' : appraisal.status],
  ];
  io.stdout(
    `${paint(io, 'green', 'verified')} evidence\n${table(rows.map(([name = '', value = '']) => [`  ${name}`, value]))}`,
  );
  const vector = Object.entries(appraisal?.vector ?? {}).map(([claim, value]) => `${claim} ${String(value)}`);
  if (vector.length > 0) io.stdout(`  ${vector.join(', ')}\n`);
  if ((appraisal?.exempt.length ?? 0) > 0)
    io.stdout(`  not measured: ${(appraisal?.exempt ?? []).map(printable).join(', ')}\n`);
  if (unchecked.length > 0)
    io.stdout(`${paint(io, 'yellow', 'unchecked')} ${unchecked.map(printable).join(' ')}\n`);
}

/** Every check that failed, beside the first one that the denial names. */
function printFailures(io: Io, { failures }: EvidenceOutcome): void {
  for (const { check, reason } of failures.slice(1)) io.stderr(`  also    [${check}] ${printable(reason)}\n`);
}
