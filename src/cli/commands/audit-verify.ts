import { rmSync } from 'node:fs';
import type { Command } from 'commander';
import { READ_NOTHING, readLog, readingAfter } from '../../audit/index.ts';
import type { Checkpoint, LogRead, ReadingState } from '../../audit/index.ts';
import { Refusal } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { TrustBundle } from '../../policy/index.ts';
import { systemClock } from '../clock.ts';
import { checkpointJson, followedCheckpoint, mayNotRead, requireSameLog } from '../opened-log.ts';
import { withLog, withLogOptions } from '../opened-log.ts';
import type { LogOptions, OpenedLog } from '../opened-log.ts';
import { withProfileOptions } from '../profile-file.ts';
import { readState, writeState } from '../reading-state.ts';
import { rememberCheckpoint } from '../remembered-checkpoint.ts';
import { printDone } from '../report.ts';
import { readGivenTrust } from '../trust-bundle-files.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface VerifyOptions extends LogOptions {
  readonly new?: true;
  readonly restart?: true;
  readonly successor?: string;
  readonly state?: string;
  readonly with: readonly string[];
}

const HELP = `
Fetches the log's newest checkpoint and checks: the log's signature (and with --witnesses cosignatures); that it continues
the checkpoint that this profile verified last (NAME.checkpoint beside the profile), and those given by --with; that the
entries, read again, lead to its root; that the hash tiles are those of the entries. Who may not read entries (the role
audit) checks the tiles alone; then "entries" is listed as unchecked.

A verifier whose newest entries are lost closes its log and opens another one (store restore --successor), which is an alarm
here: find out why it was done, write both log keys into the profile, the old one first, and give --successor once, with the
verifier's trust bundles (GET /v1/trust-bundles) as the policy authorities confirm them. They must name the new log by its
first entry, and the old one closed at no less than was verified; what is lost is answered as "closed".

A reading that was interrupted goes on where it stopped (NAME.audit-state; --state FILE with a directory).

Example:
  sealgate audit verify --profile auditor --with host-7.checkpoint
  sealgate audit verify --from export/ --log-key example.org/log+33d7b496+AeHT…
`;

/** `sealgate audit verify`. */
export function registerAuditVerify(program: Command, context: CommandContext): void {
  const audit = group(program, 'audit', 'the audit log: verified, proved, followed');
  const command = audit
    .command('verify')
    .description('verify the whole log against what was verified before');
  withLogOptions(withProfileOptions(command))
    .option('--new', 'read only the entries after the checkpoint that was verified last')
    .option('--restart', 'begin anew where an interrupted reading could go on')
    .option(
      '--successor <file>',
      'trust bundles that name the log which opened in place of the one verified before',
    )
    .option('--state <file>', 'where an interrupted reading is remembered')
    .option('--with <file>', 'a checkpoint that somebody else was shown; may be repeated', collect, [])
    .addHelpText('after', HELP)
    .action(async (options: VerifyOptions) => {
      const { successor } = options;
      const trust = successor === undefined ? undefined : readGivenTrust(successor);
      await withLog(options, async (log) => {
        const { checkpoint, before, closed } = await followedCheckpoint(log, trust);
        const { claimed } = checkpoint;
        for (const file of options.with) await requireSameLog(log, claimed, file);
        const read = await readAll(log, claimed, before, options, context);
        if (log.profile !== undefined) rememberCheckpoint(log.profile, checkpoint);
        printDone(context, 'verified', {
          checkpoint: checkpointJson(claimed),
          continues: before === undefined ? null : checkpointJson(before),
          closed: closed && { ...closed },
          trustBundle: trust === undefined ? null : trustJson(trust),
          entries: read.entries && {
            from: String(read.entries.from),
            to: String(read.entries.to),
            kinds: { ...read.entries.kinds },
          },
          resumed: read.resumed === 0n ? null : String(read.resumed),
          unchecked: [
            ...(before === undefined ? ['consistency'] : []),
            ...(read.entries === null ? ['entries'] : []),
          ],
        });
      });
    });
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** What was believed: whom to ask about it, and what the authorities know of closed logs now. */
function trustJson({ version, digest, succession }: TrustBundle): JsonObject {
  return { version, digest, closed: succession.map(({ closed, kept }) => ({ ...closed, kept })) };
}

interface WholeRead {
  /** Null where only hashes were read. */
  readonly entries: LogRead | null;
  /** Entries that an interrupted reading had read before. */
  readonly resumed: bigint;
}

/** The entries, or the hashes alone where they may not be read. */
async function readAll(
  log: OpenedLog,
  checkpoint: Checkpoint,
  before: Checkpoint | undefined,
  options: VerifyOptions,
  context: CommandContext,
): Promise<WholeRead> {
  try {
    return await readAs('entries', log, checkpoint, before, options, context);
  } catch (error) {
    if (!mayNotRead(error)) throw error;
  }
  const { resumed } = await readAs('tiles', log, checkpoint, before, options, context);
  return { entries: null, resumed };
}

async function readAs(
  what: 'entries' | 'tiles',
  { source, profile }: OpenedLog,
  checkpoint: Checkpoint,
  before: Checkpoint | undefined,
  options: VerifyOptions,
  context: CommandContext,
): Promise<WholeRead> {
  const { origin, size } = checkpoint;
  const file = options.state ?? profile?.checkpointFile.replace(/checkpoint$/, 'audit-state');
  const kept = file === undefined || options.restart === true ? undefined : readState(file, { origin, what });
  const onlyNew = options.new === true && before !== undefined;
  const from =
    kept !== undefined && kept.edge.size <= size && (!onlyNew || kept.edge.size > before.size)
      ? kept
      : onlyNew
        ? await readingAfter(source, before)
        : READ_NOTHING;
  const resumed = from === kept ? from.edge.size : 0n;
  if (resumed > 0n) context.io.stderr(`goes on from entry ${String(resumed)}\n`);
  const onProgress = progressOf(context, size, (state) => {
    if (file !== undefined) writeState(file, { origin, what }, state);
  });
  const forget = (): void => {
    if (file !== undefined) rmSync(file, { force: true });
  };
  try {
    const entries = await readLog(source, checkpoint, { from, what, compareTiles: true, onProgress });
    forget();
    return { entries, resumed };
  } catch (error) {
    if (!(error instanceof Refusal) || !ABOUT_THE_LOG.includes(error.check)) throw error;
    // What is wrong may be what was remembered: the verdict is about the log, so it is read from its first entry.
    forget();
    if (resumed === 0n) throw error;
    const anew = { from: READ_NOTHING, what, compareTiles: true, onProgress };
    return { entries: await readLog(source, checkpoint, anew).finally(forget), resumed: 0n };
  }
}

/** Refusals after which there is nothing to go on with. */
const ABOUT_THE_LOG: readonly string[] = ['log-root', 'log-tile', 'malformed'];

/** On stderr, when it takes over a second; the state is kept as often. */
function progressOf(
  { io }: CommandContext,
  size: bigint,
  keep: (state: ReadingState) => void,
): (state: ReadingState) => void {
  let last = systemClock.now();
  return (state) => {
    const now = systemClock.now();
    if (now - last < 1000) return;
    last = now;
    keep(state);
    io.stderr(`${String(state.edge.size)} of ${String(size)} entries\n`);
  };
}
