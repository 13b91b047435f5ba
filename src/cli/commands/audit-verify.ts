import type { Command } from 'commander';
import { treeRoot } from '../../audit/index.ts';
import type { Checkpoint } from '../../audit/index.ts';
import { Refusal, equalBytes, refuse, toBase64 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { VerifierRefusal, followCheckpoint, readEntries, tileReader } from '../../client/index.ts';
import type { EntriesRead, VerifierClient } from '../../client/index.ts';
import { systemClock } from '../clock.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { logKeyOf, rememberCheckpoint, rememberedCheckpoint } from '../remembered-checkpoint.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../run.ts';
import { group } from './group.ts';

interface VerifyOptions extends ProfileOptions {
  readonly logKey?: string;
  readonly new?: boolean;
}

const HELP = `
Fetches the log's newest checkpoint and checks: the log's signature; that it continues the checkpoint that this profile
verified last (NAME.checkpoint beside the profile); that the entries, read again, lead to its root. Who may not read
entries (the role audit) checks the hash tiles instead; then "entries" is listed as unchecked.

Example:
  sealgate audit verify --profile auditor
`;

/** `sealgate audit verify`. */
export function registerAuditVerify(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  withProfileOptions(
    audit.command('verify').description('verify the whole log against what was verified before'),
  )
    .option('--log-key <vkey>', 'the log’s public key (default: of the profile)')
    .option('--new', 'read only the entries after the checkpoint that was verified last')
    .addHelpText('after', HELP)
    .action(async (options: VerifyOptions) => {
      await withVerifier(options, async (client, profile) => {
        const key = logKeyOf(profile, options.logKey);
        const before = rememberedCheckpoint(profile, key);
        const checkpoint = await followCheckpoint(client, [key], before);
        const { claimed } = checkpoint;
        const after = options.new === true ? before : undefined;
        const entries = await readAll(client, claimed, after, progressOf(context, claimed.size));
        rememberCheckpoint(profile, checkpoint);
        printDone(context, 'verified', {
          checkpoint: checkpointJson(claimed),
          continues: before === undefined ? null : checkpointJson(before),
          entries: entries && {
            from: String(entries.from),
            to: String(entries.to),
            kinds: { ...entries.kinds },
          },
          unchecked: [
            ...(before === undefined ? ['consistency'] : []),
            ...(entries === null ? ['entries'] : []),
          ],
        });
      });
    });
}

/** The entries, or null where they may not be read: then the tree of hashes alone was compared. */
async function readAll(
  client: VerifierClient,
  checkpoint: Checkpoint,
  after: Checkpoint | undefined,
  onProgress: (done: bigint) => void,
): Promise<EntriesRead | null> {
  try {
    return await readEntries(client, checkpoint, { onProgress, ...(after === undefined ? {} : { after }) });
  } catch (error) {
    if (!mayNotRead(error)) throw error;
  }
  if (
    checkpoint.size > 0n &&
    !equalBytes(await treeRoot(checkpoint.size, tileReader(client)), checkpoint.root)
  )
    refuse('log-root', 'the tiles lead to another root than the checkpoint’s', {
      size: String(checkpoint.size),
    });
  return null;
}

const mayNotRead = (error: unknown): boolean =>
  error instanceof Refusal &&
  (error.check === 'caller-certificate' ||
    (error instanceof VerifierRefusal && error.denial.code === 'not-permitted'));

/** On stderr, when it takes over a second. */
function progressOf({ io }: CommandContext, size: bigint): (done: bigint) => void {
  let last = systemClock.now();
  return (done) => {
    const now = systemClock.now();
    if (now - last < 1000) return;
    last = now;
    io.stderr(`${String(done)} of ${String(size)} entries\n`);
  };
}

/** As checkpoints write them: decimal size, base64 root. */
export const checkpointJson = ({ origin, size, root }: Checkpoint): JsonObject => ({
  origin,
  size: String(size),
  root: toBase64(root),
});
