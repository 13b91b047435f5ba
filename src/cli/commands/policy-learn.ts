import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { referencesJson } from '../../appraisal/index.ts';
import type { Learned } from '../../appraisal/index.ts';
import { learnFromDirectory } from '../learn-evidence.ts';
import { printJson, printable } from '../output.ts';
import type { CommandContext } from '../context.ts';
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
      const learned = learnFromDirectory(options.from, options.platform);
      writeFileSync(options.output, `${JSON.stringify(referencesJson(learned.references), null, 2)}\n`);
      report(context, options, learned);
    });
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
