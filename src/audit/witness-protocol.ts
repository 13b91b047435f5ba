import { concat, toBase64, utf8 } from '../base/index.ts';
import { parseCheckpoint } from './checkpoint.ts';
import type { UnverifiedCheckpoint } from './checkpoint.ts';
import { LineReader } from './lines.ts';
import { MAX_NOTE } from './note.ts';

/** Body of `POST <prefix>/add-checkpoint` (c2sp.org/tlog-witness). */
export interface AddCheckpoint {
  /** Size of the checkpoint that the witness cosigned last, as the log believes; 0 when none. */
  readonly oldSize: bigint;
  /** Consistency proof from there; empty from 0. */
  readonly proof: readonly Uint8Array[];
  /** The signed checkpoint. */
  readonly checkpoint: Uint8Array;
}

/** A request as received. */
export interface UnverifiedAddCheckpoint extends AddCheckpoint, UnverifiedCheckpoint {}

const MAX_PROOF_LINES = 63;
/** Bytes of a request body: a note, 63 hashes of 45, and the first line. */
export const MAX_ADD_CHECKPOINT = MAX_NOTE + 4096;
/** Content-Type of the answer 409, whose body {@link formatSize} makes. */
export const SIZE_CONTENT_TYPE = 'text/x.tlog.size';

export function formatAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpoint): Uint8Array {
  if (proof.length > MAX_PROOF_LINES) throw new RangeError('at most 63 hashes');
  const lines = [`old ${String(oldSize)}`, ...proof.map((hash) => toBase64(hash)), ''];
  return concat([utf8(lines.map((line) => `${line}\n`).join('')), checkpoint]);
}

/** Reads a request body. @throws Refusal `malformed`: answer 400 */
export function parseAddCheckpoint(bytes: Uint8Array): UnverifiedAddCheckpoint {
  const lines = new LineReader(bytes, 'add-checkpoint', MAX_ADD_CHECKPOINT);
  const oldSize = lines.decimal(lines.field('old'));
  const proof = lines.hashes(MAX_PROOF_LINES);
  const checkpoint = lines.rest();
  return { oldSize, proof, checkpoint, ...parseCheckpoint(checkpoint) };
}

/** Body of the answer 409: the size that the witness cosigned last. */
export function formatSize(size: bigint): string {
  return `${String(size)}\n`;
}

/** Reads the body of an answer 409. @throws Refusal `malformed` */
export function parseSize(bytes: Uint8Array): bigint {
  const lines = new LineReader(bytes, 'tree size', 32);
  const size = lines.decimal(lines.line());
  if (!lines.done) {
    lines.line();
    lines.malformed('more than a size');
  }
  return size;
}
