import { Refusal, refuse, toBase64, utf8, concat } from '../base/index.ts';
import { parseCheckpoint, verifyCheckpoint } from './checkpoint.ts';
import type { UnverifiedCheckpoint } from './checkpoint.ts';
import { LineReader } from './lines.ts';
import { MAX_NOTE } from './note.ts';
import { verifyQuorum } from './quorum.ts';
import type { QuorumPolicy } from './quorum.ts';
import { inclusionRanges } from './shape.ts';
import type { VerifierKey } from './verifier-key.ts';
import { verifyInclusion } from './verify.ts';

/** Proof that an entry is in a log, complete in itself (c2sp.org/tlog-proof). */
export interface LogProof {
  /** Position of the entry. */
  readonly index: bigint;
  /** The inclusion proof: 32 bytes each, from the leaf's sibling up. */
  readonly hashes: readonly Uint8Array[];
  /** The signed checkpoint as the log published it, cosignatures included. */
  readonly checkpoint: Uint8Array;
  /** Opaque data beside the proof; nothing authenticates it. */
  readonly extra?: Uint8Array;
}

/** A proof as received: its form is right, nothing is verified. */
export interface UnverifiedLogProof extends LogProof, UnverifiedCheckpoint {}

/** What a proof is checked against; what is missing can't be checked. */
export interface LogProofChecks {
  readonly logKeys?: readonly VerifierKey[];
  readonly leafHash?: Uint8Array;
  readonly quorum?: QuorumPolicy;
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** Bytes of a proof: a checkpoint, 64 hashes, and room for extra data. */
export const MAX_LOG_PROOF = MAX_NOTE + 64 * 1024;

/** The text of a proof; the usual file ending is `.tlog-proof`. */
export function formatLogProof({ index, hashes, checkpoint, extra }: LogProof): Uint8Array {
  const head = [
    FIRST_LINE,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${String(index)}`,
    ...hashes.map((hash) => toBase64(hash)),
    '',
  ];
  return concat([utf8(head.map((line) => `${line}\n`).join('')), checkpoint]);
}

/**
 * Reads a proof and judges its form: the index is inside the checkpoint's tree, and there are as many hashes as the
 * way from that leaf to the root needs.
 * @throws Refusal `malformed`, `log-inclusion`
 */
export function parseLogProof(bytes: Uint8Array): UnverifiedLogProof {
  const lines = new LineReader(bytes, 'tlog-proof', MAX_LOG_PROOF);
  if (lines.line() !== FIRST_LINE) lines.malformed(`the first line is not ${FIRST_LINE}`);
  const extra = lines.at('extra') ? lines.base64(lines.field('extra')) : undefined;
  const index = lines.decimal(lines.field('index'));
  const hashes = lines.hashes(64);
  const checkpoint = lines.rest();
  const { claimed, note } = parseCheckpoint(checkpoint);
  if (index >= claimed.size) {
    refuse('log-inclusion', `the log has ${String(claimed.size)} entries, none with index ${String(index)}`);
  }
  const need = inclusionRanges(index, { start: 0n, end: claimed.size }).length;
  if (hashes.length !== need) {
    refuse('log-inclusion', `the way to the root has ${String(need)} hashes, not ${String(hashes.length)}`);
  }
  return { index, hashes, checkpoint, claimed, note, ...(extra === undefined ? {} : { extra }) };
}

/**
 * Verifies all of a proof that the given values allow.
 * @returns the checks that could not be made: `log-signature` without a key of the log, `log-inclusion` without leaf
 * @throws Refusal that joins every check that failed: `log-origin`, `log-signature`, `log-inclusion`, `log-witnesses`
 */
export function verifyLogProof(proof: UnverifiedLogProof, given: LogProofChecks): string[] {
  const { logKeys, leafHash, quorum } = given;
  const unchecked: string[] = [];
  const failures: Refusal[] = [];
  const check = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      failures.push(error);
    }
  };
  if (logKeys === undefined) unchecked.push('log-signature');
  else check(() => verifyCheckpoint(proof, logKeys));
  if (leafHash === undefined) unchecked.push('log-inclusion');
  else
    check(() => {
      verifyInclusion({ ...proof.claimed, index: proof.index, leafHash, proof: proof.hashes });
    });
  if (quorum !== undefined) check(() => verifyQuorum(proof, quorum));
  if (failures.length > 0) throw Refusal.join(failures);
  return unchecked;
}
