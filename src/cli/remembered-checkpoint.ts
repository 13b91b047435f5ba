import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { formatNote, parseCheckpoint, parseVkey, verifyCheckpoint } from '../audit/index.ts';
import type { Checkpoint, UnverifiedCheckpoint, VerifierKey } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { writeNewFile } from '../config/index.ts';
import { UsageError, inUsage } from './errors.ts';
import type { FoundProfile } from './profile-file.ts';

const MAX_BYTES = 128 * 1024;

/** The log's key of a profile or flag. @throws UsageError when there is none */
export function logKeyOf(profile: FoundProfile, flag?: string): VerifierKey {
  const text = flag ?? profile.logKey;
  if (text === '') throw new UsageError('the profile has no logKey: give --log-key');
  return inUsage(flag === undefined ? 'logKey of the profile' : '--log-key', () => parseVkey(text));
}

/**
 * The newest checkpoint that was verified under this profile; undefined the first time. Its signature is verified again,
 * so that nothing is compared with a file that somebody else wrote.
 * @throws Refusal `log-signature`, `log-origin`, `malformed`
 */
export function rememberedCheckpoint(
  { checkpointFile }: FoundProfile,
  key: VerifierKey,
): Checkpoint | undefined {
  if (!existsSync(checkpointFile)) return undefined;
  if (statSync(checkpointFile).size > MAX_BYTES)
    refuse('malformed', 'the remembered checkpoint is too large', { file: checkpointFile });
  const checkpoint = parseCheckpoint(new Uint8Array(readFileSync(checkpointFile)));
  verifyCheckpoint(checkpoint, [key]);
  return checkpoint.claimed;
}

/** Remembers a checkpoint that was verified. @throws UsageError when the profile's directory can't be written */
export function rememberCheckpoint({ checkpointFile }: FoundProfile, { note }: UnverifiedCheckpoint): void {
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
