import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import {
  READ_NOTHING,
  readLog,
  readingAfter,
  requireContinues,
  verifyCheckpoint,
} from '../../audit/index.ts';
import type { ReadingState } from '../../audit/index.ts';
import { refuse } from '../../base/index.ts';
import { systemClock } from '../clock.ts';
import { CHECKPOINT_FILE, directoryLog, recordedLog, writeCheckpoint } from '../directory-log.ts';
import { checkpointJson, followedCheckpoint, withLog } from '../opened-log.ts';
import type { LogOptions, OpenedLog } from '../opened-log.ts';
import { withProfileOptions } from '../profile-file.ts';
import { rememberCheckpoint } from '../remembered-checkpoint.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface ExportOptions extends LogOptions {
  readonly output: string;
}

const HELP = `
Writes checkpoint, hash tiles and entry bundles as c2sp.org/tlog-tiles lays them out: a directory that audit verify --from
checks offline, and that any web server may serve. What is written was verified. Into a directory with an older export only
what is new is fetched; a log that doesn't continue that export is refused, and the export stays.

Example:
  sealgate audit export -o export/ --profile auditor
  sealgate audit verify --from export/ --log-key example.org/log+33d7b496+AeHT…
`;

/** `sealgate audit export`: the whole log as files (needs the role audit). */
export function registerAuditExport(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  withProfileOptions(audit.command('export').description('the whole log as files (needs the role audit)'))
    .requiredOption('-o, --output <directory>', 'where the log goes')
    .option('--log-key <vkey>', 'the log’s public key, or several with spaces (default: of the profile)')
    .option('--witnesses <file>', 'a tlog-policy: the checkpoint must be cosigned by its quorum')
    .addHelpText('after', HELP)
    .action(async (options: ExportOptions) => {
      await withLog(options, async (log) => {
        const { checkpoint } = await followedCheckpoint(log);
        const from = await begun(log, options.output, checkpoint.claimed);
        const written = recordedLog(log.source, options.output);
        const read = await readLog(written, checkpoint.claimed, {
          ...{ from, compareTiles: true },
          onProgress: progressOf(context, checkpoint.claimed.size),
        });
        writeCheckpoint(options.output, checkpoint);
        if (log.profile !== undefined) rememberCheckpoint(log.profile, checkpoint);
        printDone(context, 'exported', {
          output: options.output,
          checkpoint: checkpointJson(checkpoint.claimed),
          from: String(read.from),
          to: String(read.to),
        });
      });
    });
}

/** Where to go on: after the export that is there, if there is one. @throws Refusal `log-consistency`, `audit-export` */
async function begun(
  { source, keys }: OpenedLog,
  directory: string,
  newest: Parameters<typeof requireContinues>[2],
): Promise<ReadingState> {
  if (!existsSync(directory)) return READ_NOTHING;
  if (!existsSync(path.join(directory, CHECKPOINT_FILE))) {
    if (readdirSync(directory).some((name) => name !== 'tile'))
      refuse('audit-export', 'the directory holds something else than an export', { directory });
    return READ_NOTHING;
  }
  const before = directoryLog(directory);
  const exported = await before.checkpoint();
  verifyCheckpoint(exported, keys);
  await requireContinues(source, exported.claimed, newest);
  return await readingAfter(before, exported.claimed);
}

function progressOf({ io }: CommandContext, size: bigint): (state: ReadingState) => void {
  let last = systemClock.now();
  return ({ edge }) => {
    const now = systemClock.now();
    if (now - last < 1000) return;
    last = now;
    io.stderr(`${String(edge.size)} of ${String(size)} entries\n`);
  };
}
