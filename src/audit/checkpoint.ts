import { equalBytes, refuse, toBase64, utf8 } from '../base/index.ts';
import { EMPTY_ROOT, HASH_SIZE } from './hash.ts';
import { LineReader } from './lines.ts';
import { MAX_NOTE, parseNote, verifySignatures } from './note.ts';
import type { SignedNote, VerifiedSignature } from './note.ts';
import { SIZE_LIMIT } from './shape.ts';
import { keyLabel } from './verifier-key.ts';
import type { VerifierKey } from './verifier-key.ts';

/** The head of a log's tree (c2sp.org/tlog-checkpoint). */
export interface Checkpoint {
  /** The log's identity; also the name of the key that it signs with. */
  readonly origin: string;
  /** Entries. */
  readonly size: bigint;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** A checkpoint as received: well formed, not verified. */
export interface UnverifiedCheckpoint {
  readonly claimed: Checkpoint;
  readonly note: SignedNote;
}

/** The note text of a checkpoint: origin, size, root; never extension lines, since nobody audits them. */
export function formatCheckpoint({ origin, size, root }: Checkpoint): string {
  if (origin === '' || origin.includes('\n')) throw new TypeError('an origin is one line');
  if (size < 0n || size >= SIZE_LIMIT || root.length !== HASH_SIZE) throw new RangeError('not a tree head');
  return `${origin}\n${String(size)}\n${toBase64(root)}\n`;
}

/** Reads a checkpoint; extension lines are refused. @throws Refusal `malformed` */
export function parseCheckpoint(bytes: Uint8Array): UnverifiedCheckpoint {
  const note = parseNote(bytes, 'checkpoint');
  const lines = new LineReader(utf8(note.text), 'checkpoint', MAX_NOTE);
  const origin = lines.line();
  if (origin === '') lines.malformed('no origin');
  const size = lines.decimal(lines.line());
  const root = lines.hash(lines.line());
  if (size === 0n && !equalBytes(root, EMPTY_ROOT)) lines.malformed('the empty tree has another root');
  if (!lines.done) {
    lines.line();
    lines.malformed('an extension line');
  }
  return { claimed: { origin, size, root }, note };
}

/**
 * Verifies that the log signed a checkpoint: at least one of its keys, whose name is the origin, none of them wrongly.
 * @throws Refusal `log-origin`, `log-signature`
 */
export function verifyCheckpoint(
  { claimed, note }: UnverifiedCheckpoint,
  logKeys: readonly VerifierKey[],
): VerifiedSignature[] {
  const keys = logKeys.filter(({ name, use }) => name === claimed.origin && use === 'note');
  if (keys.length === 0) {
    refuse('log-origin', 'the checkpoint is of another log than the key', {
      origin: claimed.origin,
      keys: logKeys.map((key) => keyLabel(key)),
    });
  }
  const signatures = verifySignatures(note, keys);
  if (signatures.length === 0) {
    refuse('log-signature', 'the log’s key did not sign the checkpoint', {
      origin: claimed.origin,
      keys: keys.map((key) => keyLabel(key)),
    });
  }
  return signatures;
}
