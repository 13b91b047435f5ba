import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { learnReferences, referencesJson } from '../../appraisal/index.ts';
import type { Learned } from '../../appraisal/index.ts';
import { LIMITS, Refusal, isJsonObject, parseJson, refuse } from '../../base/index.ts';
import { readImaEntries } from '../../evidence/index.ts';
import type { ImaEntry } from '../../evidence/index.ts';
import type { EvidenceFiles, EvidenceOutcome } from '../evidence-examination.ts';
import { EVIDENCE_FILES, examineEvidence, filesIn } from '../evidence-examination.ts';
import { readInput } from '../input.ts';
import { printJson, printable } from '../output.ts';
import type { CommandContext } from '../run.ts';
import { group } from './group.ts';

interface LearnOptions {
  readonly from: string;
  readonly output: string;
  readonly platform?: string;
}

const HELP = `
The evidence must verify by itself first. What is learned accepts the next boot of the same machine and refuses another
kernel, initrd, command line, boot application, measured file or secure boot state. Read the warnings: they say what
could not be learned.

Example:
  sealgate evidence collect -o golden/ && sealgate policy learn --from golden/ -o references.json
`;

/** `sealgate policy learn`: evidence of a golden host → reference values and a report. */
export function registerPolicyLearn(program: Command, context: CommandContext): void {
  group(program, 'policy', 'reference values and policy')
    .command('learn')
    .description('write reference values from the evidence of a golden host')
    .requiredOption('--from <directory>', 'a directory of evidence')
    .requiredOption('-o, --output <file>', 'where the reference values go')
    .option('--platform <name>', 'name of the platform (default: the directory’s name)')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((options: LearnOptions) => {
      const learned = learn(options);
      writeFileSync(options.output, `${JSON.stringify(referencesJson(learned.references), null, 2)}\n`);
      report(context, options, learned);
    });
}

function learn({ from, platform }: LearnOptions): Learned {
  const files = filesIn(from);
  const outcome = examineEvidence(files, null);
  if (outcome.failures.length > 0) throw Refusal.join(outcome.failures);
  const quote =
    outcome.quote.examination.verified ?? refuse('e21', 'PCR values are needed to learn from evidence');
  const manifest = readManifest(path.join(from, EVIDENCE_FILES.manifest));
  return learnReferences({
    platform: platform ?? path.basename(path.resolve(from)),
    quote,
    eventLog: outcome.eventLog?.verified ?? null,
    ima: imaOf(files, outcome),
    ...(manifest === undefined ? {} : { gateway: manifest }),
  });
}

/** The entries that the quote proves, read once more from the list. */
function imaOf(files: EvidenceFiles, { ima }: EvidenceOutcome) {
  if (ima === null || files.ima === undefined) return null;
  const entries: ImaEntry[] = [];
  readImaEntries([readInput(files.ima, 'IMA list', LIMITS.imaList)], ima.consumed, (entry) =>
    entries.push(entry),
  );
  return { verified: ima, entries };
}

/** The gateway's manifest: `{"files": {"/path": "sha256 hex"}}`. */
function readManifest(file: string): Record<string, string> | undefined {
  if (!existsSync(file)) return undefined;
  const value = parseJson(readInput(file, 'gateway manifest', LIMITS.json), 'gateway manifest', {
    maxBytes: LIMITS.json,
  });
  const files = isJsonObject(value) ? value['files'] : undefined;
  if (!isJsonObject(files))
    return refuse('malformed', 'gateway manifest: no files', { structure: 'gateway manifest' });
  return Object.fromEntries(
    Object.entries(files).map(([name, sha256]) => [
      name,
      typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)
        ? sha256
        : refuse('malformed', 'gateway manifest: a digest is not SHA-256 in hex', {
            structure: 'gateway manifest',
          }),
    ]),
  );
}

function report(
  { io, json }: CommandContext,
  { output }: LearnOptions,
  { learned, warnings }: Learned,
): void {
  if (json) {
    printJson(io, { ok: true, denial: null, output, learned, warnings });
    return;
  }
  io.stdout(`learned, written to ${printable(output)}\n`);
  for (const line of learned) io.stdout(`  ${printable(line)}\n`);
  for (const line of warnings) io.stdout(`  warning: ${printable(line)}\n`);
}
