import type { Command } from 'commander';
import { fetchPackage } from '../../client/index.ts';
import { parsePackage } from '../../lifecycle/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { UsageError } from '../errors.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options extends ProfileOptions {
  readonly leaf?: string;
  readonly output: string;
}

const HELP = `
The package has the request, the evidence, the policy, the trust bundles, the authorizations and the log's entries with
their proofs: what it takes to verify the decision and to make it again. Arguments and environment are in it; secrets,
keys and tokens of initiators are not.

Examples:
  sealgate exec export 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20 -o execution.json
  sealgate exec export --leaf 1042 -o denial.json
  sealgate verify package execution.json --trust-bundle trust-bundle.json
`;

/** `sealgate exec export ID -o FILE`: a decision as one file that is verified offline. */
export function registerExecExport(program: Command, context: CommandContext): void {
  const exec = group(program, 'exec', 'executions: what was asked for, runs and ran');
  withProfileOptions(
    exec
      .command('export [execution]')
      .description(
        'write a decision, with everything that it takes to verify and to repeat it, into one file',
      ),
  )
    .option('--leaf <index>', 'the decision of this entry of the log: denials have no other name')
    .requiredOption('-o, --output <file>', 'where the package goes')
    .addHelpText('after', HELP)
    .action(async (executionId: string | undefined, options: Options) => {
      const subject = subjectOf(executionId, options.leaf);
      await withVerifier(options, async (client) => {
        const bytes = await fetchPackage(client, subject);
        // Its form is judged before it is kept; whether it verifies is for whoever relies on it.
        const { subject: about, entries, bodies } = parsePackage(bytes);
        writeWhole(options.output, bytes);
        printDone(context, 'exported', {
          output: options.output,
          executionId: about.executionId,
          decision: about.decision,
          entries: entries.length,
          bodies: bodies.size,
          bytes: bytes.length,
        });
      });
    });
}

function subjectOf(
  executionId: string | undefined,
  leaf: string | undefined,
): Parameters<typeof fetchPackage>[1] {
  if (executionId !== undefined && leaf === undefined) return { executionId };
  if (leaf === undefined || executionId !== undefined)
    throw new UsageError('give either an execution or --leaf INDEX');
  if (!/^(?:0|[1-9][0-9]{0,15})$/.test(leaf)) throw new UsageError('--leaf: a decimal index');
  return { index: leaf };
}
