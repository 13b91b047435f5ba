import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { formatNote, parseCheckpoint, parseVkey, verifyCheckpoint } from '../audit/index.ts';
import type { Checkpoint, UnverifiedCheckpoint, VerifierKey } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { writeNewFile } from '../config/write-files.ts';
import { UsageError, inUsage } from './errors.ts';
import { findProfile } from './profile-file.ts';
import type { FoundProfile } from './profile-file.ts';

const MAX_BYTES = 128 * 1024;

/** Keys of one log, at least one. */
export type LogKeys = readonly [VerifierKey, ...VerifierKey[]];

/**
 * The log's keys that a flag or a profile pins; undefined where neither has one: then a signature by it is unchecked.
 * @throws UsageError a key that can't be read is a wrong flag, not a refused file
 */
export function pinnedLogKeys(options: {
  readonly logKey?: string;
  readonly profile?: string;
}): readonly VerifierKey[] | undefined {
  const { logKey, profile } = options;
  if (logKey !== undefined) return [inUsage('--log-key', () => parseVkey(logKey))];
  if (profile === undefined) return undefined;
  const found = findProfile({ profile });
  return found.logKey === '' ? undefined : logKeysOf(found);
}

/**
 * The log's keys of a profile or flag: one, or while it is rotated several with a space between.
 * @throws UsageError when there is none
 */
export function logKeysOf(profile: Pick<FoundProfile, 'logKey'>, flag?: string): LogKeys {
  const text = flag ?? profile.logKey;
  const where = flag === undefined ? 'logKey of the profile' : '--log-key';
  const [first, ...more] = inUsage(where, () =>
    text
      .split(' ')
      .filter((one) => one !== '')
      .map((one) => parseVkey(one)),
  );
  if (first === undefined) throw new UsageError('the profile has no logKey: give --log-key');
  return [first, ...more];
}

/**
 * The newest checkpoint that was verified under this profile; undefined the first time. Its signature is verified again,
 * so that nothing is compared with a file that somebody else wrote.
 * @throws Refusal `log-signature`, `log-origin`, `malformed`
 */
export function rememberedCheckpoint(
  { checkpointFile }: Pick<FoundProfile, 'checkpointFile'>,
  keys: VerifierKey | readonly VerifierKey[],
): Checkpoint | undefined {
  if (!existsSync(checkpointFile)) return undefined;
  if (statSync(checkpointFile).size > MAX_BYTES)
    refuse('malformed', 'the remembered checkpoint is too large', { file: checkpointFile });
  const checkpoint = parseCheckpoint(new Uint8Array(readFileSync(checkpointFile)));
  verifyCheckpoint(checkpoint, [keys].flat());
  return checkpoint.claimed;
}

/** Remembers a checkpoint that was verified. @throws UsageError when the profile's directory can't be written */
export function rememberCheckpoint(
  { checkpointFile }: Pick<FoundProfile, 'checkpointFile'>,
  { note }: UnverifiedCheckpoint,
): void {
  const temporary = `${checkpointFile}.${String(process.pid)}.new`;
  try {
    writeNewFile(temporary, formatNote(note), 0o600);
    renameSync(temporary, checkpointFile);
  } catch (error) {
    throw new UsageError(
      `can't remember the checkpoint in ${checkpointFile}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
