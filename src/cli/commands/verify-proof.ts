import type { Command } from 'commander';
import { MAX_ENTRY, MAX_LOG_PROOF, leafHash, parseLogProof, verifyLogProof } from '../../audit/index.ts';
import type { UnverifiedLogProof } from '../../audit/index.ts';
import { Refusal, toBase64 } from '../../base/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { readInput } from '../input.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { pinnedLogKeys } from '../remembered-checkpoint.ts';
import { printDenial } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface Options {
  readonly leaf?: string;
  readonly logKey?: string;
  readonly profile?: string;
}

/** What can stand in `unchecked`, as people read it. */
const UNCHECKED: Readonly<Record<string, string>> = {
  'log-signature': 'the log’s signature (give --log-key or --profile)',
  'log-inclusion': 'which entry it is that the proof is about (give --leaf)',
};

/** `sealgate verify proof FILE`: an entry's inclusion in a log, offline (c2sp.org/tlog-proof). */
export function registerVerifyProof(program: Command, context: CommandContext): void {
  group(program, 'verify', 'verify evidence, authorizations and proofs offline; exit 0 only if it verifies')
    .command('proof <file>')
    .description('check that an entry is in a log: tlog-proof, checkpoint signature, inclusion')
    .option('--leaf <file>', 'the entry, byte for byte as it is in the log')
    .option('--log-key <vkey>', 'the log’s public key: NAME+ID+KEY')
    .option('--profile <name>', 'take the log’s key from this profile')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nThe file’s form is judged first; what the flags don’t allow to check is listed as unchecked.\n' +
        '\nExample:\n  sealgate verify proof decision.tlog-proof --leaf decision.json --log-key example.com/log+33d7b496+AeHT…\n',
    )
    .action((file: string, options: Options) => {
      verifyProof(file, options, context);
    });
}

function verifyProof(file: string, options: Options, context: CommandContext): void {
  let logKeys: ReturnType<typeof pinnedLogKeys>;
  const unchecked = (): string[] => [
    ...(logKeys === undefined ? ['log-signature'] : []),
    ...(options.leaf === undefined ? ['log-inclusion'] : []),
  ];
  let proof: UnverifiedLogProof | undefined;
  try {
    proof = parseLogProof(readInput(file, 'tlog-proof', MAX_LOG_PROOF));
    // After the form of FILE: what is no proof is refused whatever the flags say.
    logKeys = pinnedLogKeys(options);
    const leaf = options.leaf === undefined ? undefined : readInput(options.leaf, 'leaf', MAX_ENTRY);
    verifyLogProof(proof, {
      ...(logKeys === undefined ? {} : { logKeys }),
      ...(leaf === undefined ? {} : { leafHash: leafHash(leaf) }),
    });
    printAnswer(context, proof, unchecked());
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    context.exit(1);
    printDenial(toDenial(error, 'audit'), context.io, context.json, {
      unchecked: unchecked(),
      proof: proof === undefined ? null : proofJson(proof),
    });
  }
}

/** As the checkpoint writes them: decimal sizes, base64 root. */
function proofJson({ index, claimed }: UnverifiedLogProof): Record<string, string> {
  return {
    index: String(index),
    size: String(claimed.size),
    origin: claimed.origin,
    root: toBase64(claimed.root),
  };
}

function printAnswer(
  { io, json }: CommandContext,
  proof: UnverifiedLogProof,
  unchecked: readonly string[],
): void {
  const members = proofJson(proof);
  if (json) {
    printJson(io, { ok: true, denial: null, unchecked, proof: members });
    return;
  }
  io.stdout(
    `${unchecked.length === 0 ? paint(io, 'green', 'verified') : paint(io, 'yellow', 'well formed')}\n`,
  );
  io.stdout(table(Object.entries(members).map(([name, value]) => [`  ${name}`, printable(value)])));
  for (const check of unchecked) io.stdout(`  not checked: ${UNCHECKED[check] ?? check}\n`);
}
