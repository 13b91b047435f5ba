import type { Command } from 'commander';
import { leafHash, verifyLogProof } from '../../audit/index.ts';
import { utf8 } from '../../base/index.ts';
import { fetchEntry, fetchLogProof } from '../../client/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { UsageError } from '../errors.ts';
import { printJson, printable } from '../output.ts';
import { checkpointJson } from '../opened-log.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { logKeysOf } from '../remembered-checkpoint.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface ProveOptions extends ProfileOptions {
  readonly output?: string;
  readonly leaf?: string;
  readonly logKey?: string;
}

/** `sealgate audit prove INDEX`: a proof that somebody else can check offline. */
export function registerAuditProve(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  withProfileOptions(
    audit.command('prove <index>').description('a proof (tlog-proof) that an entry is in the log'),
  )
    .option('-o, --output <file>', 'where the proof goes; default: standard output')
    .option('--leaf <file>', 'write the entry there, byte for byte (needs the role audit)')
    .option('--log-key <vkey>', 'the log’s public key (default: of the profile)')
    .addHelpText(
      'after',
      '\nExample:\n  sealgate audit prove 42 -o 42.tlog-proof --leaf 42.json\n' +
        '  sealgate verify proof 42.tlog-proof --leaf 42.json --log-key example.org/log+33d7b496+AeHT…\n',
    )
    .action(async (text: string, options: ProveOptions) => {
      if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) throw new UsageError('the index is a decimal number');
      await withVerifier(options, async (client, profile) => {
        const logKeys = logKeysOf(profile, options.logKey);
        const made = await fetchLogProof(client, BigInt(text));
        const leaf = options.leaf === undefined ? undefined : await fetchEntry(client, BigInt(text));
        // What is given on was verified here first.
        verifyLogProof(made.proof, {
          logKeys,
          ...(leaf === undefined ? {} : { leafHash: leafHash(utf8(leaf)) }),
        });
        if (options.leaf !== undefined && leaf !== undefined) writeWhole(options.leaf, leaf);
        if (options.output !== undefined) writeWhole(options.output, made.text);
        print(context, text, options, made);
      });
    });
}

function print(
  { io, json }: CommandContext,
  index: string,
  { output, leaf }: ProveOptions,
  { text, proof }: Awaited<ReturnType<typeof fetchLogProof>>,
): void {
  if (json) {
    printJson(io, {
      ...{ ok: true, denial: null, index, checkpoint: checkpointJson(proof.claimed) },
      ...{ proof: output === undefined ? text : null, output: output ?? null, leaf: leaf ?? null },
      unchecked: leaf === undefined ? ['log-inclusion'] : [],
    });
    return;
  }
  if (output === undefined) io.stdout(text);
  else io.stdout(`proof of entry ${index} in ${printable(output)}\n`);
  if (leaf !== undefined) io.stderr(`entry ${index} in ${printable(leaf)}\n`);
}
