import type { Command } from 'commander';
import {
  leafHash,
  parseBundle,
  parseCheckpoint,
  parseLeaf,
  parseQuorumPolicy,
  requireContinues,
  verifyCheckpoint,
  verifyQuorum,
} from '../audit/index.ts';
import type {
  Checkpoint,
  LogSource,
  OpeningLeaf,
  QuorumPolicy,
  UnverifiedCheckpoint,
} from '../audit/index.ts';
import { Refusal, equalBytes, refuse, toBase64 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { VerifierRefusal, verifierLog } from '../client/index.ts';
import { goesOnFrom, openedCheckpoint, requireNotAfterClosing } from '../policy/index.ts';
import type { TrustBundle } from '../policy/index.ts';
import { directoryLog } from './directory-log.ts';
import { readInput } from './input.ts';
import { connectProfile, findProfile } from './profile-file.ts';
import type { FoundProfile, ProfileOptions } from './profile-file.ts';
import { logKeysOf, rememberedCheckpoint } from './remembered-checkpoint.ts';
import type { LogKeys } from './remembered-checkpoint.ts';

/** Options of commands that read a whole log. */
export interface LogOptions extends ProfileOptions {
  readonly logKey?: string;
  /** A directory in place of the verifier. */
  readonly from?: string;
  /** A tlog-policy file that the checkpoint has to meet. */
  readonly witnesses?: string;
}

/** A log that is about to be read, and what it is judged by. */
export interface OpenedLog {
  readonly source: LogSource;
  readonly keys: LogKeys;
  readonly quorum: QuorumPolicy | undefined;
  /** Undefined for a directory without a profile: nothing is remembered then. */
  readonly profile: FoundProfile | undefined;
}

/** Adds `--log-key`, `--from` and `--witnesses`. */
export function withLogOptions(command: Command): Command {
  return command
    .option('--log-key <vkey>', 'the log’s public key, or several with spaces (default: of the profile)')
    .option('--from <directory>', 'a log in a directory, as audit export writes it, in place of the verifier')
    .option('--witnesses <file>', 'a tlog-policy: the checkpoint must be cosigned by its quorum');
}

/** Runs `task` with the log that the options name. */
export async function withLog<T>(options: LogOptions, task: (log: OpenedLog) => Promise<T>): Promise<T> {
  const quorum =
    options.witnesses === undefined
      ? undefined
      : parseQuorumPolicy(readInput(options.witnesses, 'tlog-policy', 256 * 1024));
  // A directory and a key need nothing else; whoever names a profile wants what it remembers, too.
  const alone = options.from !== undefined && options.logKey !== undefined && options.profile === undefined;
  const profile = alone ? undefined : findProfile(options);
  const keys = logKeysOf(profile ?? { logKey: '' }, options.logKey);
  if (options.from !== undefined)
    return await task({ source: directoryLog(options.from), keys, quorum, profile });
  await using client = await connectProfile(profile ?? findProfile(options));
  return await task({ source: verifierLog(client), keys, quorum, profile });
}

/** A checkpoint that was verified, and the one before it. */
export interface FollowedCheckpoint {
  readonly checkpoint: UnverifiedCheckpoint;
  readonly before: Checkpoint | undefined;
  /** What its first entry says of the log before it, where another one was followed so far. */
  readonly closed: OpeningLeaf['previous'];
}

/**
 * The newest checkpoint: signed by the log, cosigned where that is asked for, and a continuation of the one that the
 * profile remembers.
 * @param successor trust bundle by which the log may have opened in place of the one that the profile remembers
 * @throws Refusal `log-signature`, `log-origin`, `log-consistency`, `log-witnesses`, `log-succession`, `log-tile`, `malformed`
 */
export async function followedCheckpoint(
  { source, keys, quorum, profile }: OpenedLog,
  successor?: TrustBundle,
): Promise<FollowedCheckpoint> {
  const remembered = profile === undefined ? undefined : rememberedCheckpoint(profile, keys);
  const checkpoint = await source.checkpoint();
  verifyCheckpoint(checkpoint, keys);
  if (quorum !== undefined) verifyQuorum(checkpoint, quorum);
  const { claimed } = checkpoint;
  const before = successor === undefined ? remembered : followedTo(claimed, successor, remembered);
  if (before !== undefined) await requireContinues(source, before, claimed);
  const closed =
    before === undefined || before === remembered ? null : await closedBefore(source, claimed, before);
  return { checkpoint, before, closed };
}

/**
 * Where the log of a trust bundle goes on from: what is remembered, where it was closed its successor's first entry, which is
 * where one begins who remembers nothing.
 * @throws Refusal `log-origin` for another log than the bundle's, `log-succession`
 */
function followedTo(
  claimed: Checkpoint,
  trust: TrustBundle,
  remembered: Checkpoint | undefined,
): Checkpoint | undefined {
  const { origin } = claimed;
  requireNotAfterClosing(claimed, trust);
  if (!trust.log.some(({ name }) => name === origin))
    refuse('log-origin', 'the trust bundles are of another log', { origin });
  if (remembered !== undefined) return goesOnFrom(remembered, trust);
  const opened = trust.succession.at(-1)?.opened;
  return opened && openedCheckpoint(opened);
}

/**
 * What the first entry of a log says of the log before it.
 * @param opened the log when it had that entry only
 * @throws Refusal `log-consistency`, `malformed`
 */
async function closedBefore(
  source: LogSource,
  { origin, size }: Checkpoint,
  opened: Checkpoint,
): Promise<OpeningLeaf['previous']> {
  const width = size < 256n ? Number(size) : 256;
  const [first] = parseBundle(await source.bundle({ index: 0n, width }), width);
  if (first === undefined || !equalBytes(leafHash(first), opened.root))
    return refuse('log-consistency', 'the log shows another first entry than it opened with', { origin });
  const leaf = parseLeaf(first);
  return leaf.kind === 'opening' ? leaf.previous : null;
}

/**
 * That this log is the one which somebody else was shown: their checkpoint (a host's state, another auditor's) is a part
 * of it. @throws Refusal `log-consistency`: then the log has shown two histories
 */
export async function requireSameLog(log: OpenedLog, checkpoint: Checkpoint, file: string): Promise<void> {
  const theirs = parseCheckpoint(readInput(file, 'checkpoint', 128 * 1024));
  verifyCheckpoint(theirs, log.keys);
  await requireContinues(log.source, theirs.claimed, checkpoint);
}

/** Who may not read entries. */
export const mayNotRead = (error: unknown): boolean =>
  error instanceof Refusal &&
  (error.check === 'caller-certificate' ||
    (error instanceof VerifierRefusal && error.denial.code === 'not-permitted'));

/** As checkpoints write them: decimal size, base64 root. */
export const checkpointJson = ({ origin, size, root }: Checkpoint): JsonObject => ({
  origin,
  size: String(size),
  root: toBase64(root),
});
