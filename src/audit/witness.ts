import { Refusal } from '../base/index.ts';
import { verifyCheckpoint } from './checkpoint.ts';
import { formatSignatureLines, signNote } from './note.ts';
import type { NoteSigner, VerifierKey } from './verifier-key.ts';
import { verifyConsistency } from './verify.ts';
import { formatSize } from './witness-protocol.ts';
import type { UnverifiedAddCheckpoint } from './witness-protocol.ts';

/** All that a witness remembers of a log: the tree head that it cosigned last. */
export interface WitnessedHead {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** What a witness knows about the log that a request is about. */
export interface WitnessState {
  /** Keys of the log with this origin; empty when the witness doesn't know it. */
  readonly logKeys: readonly VerifierKey[];
  /** Undefined before the first cosignature. */
  readonly last: WitnessedHead | undefined;
}

/**
 * The answer to a request. With 200, `next` is stored **before** `body` is sent, in one atomic step that fails unless
 * the stored head is still the one that was judged; otherwise two requests could roll the witness back.
 */
export type WitnessAnswer =
  | { readonly status: 200; readonly body: string; readonly next: WitnessedHead }
  | { readonly status: 409; readonly body: string }
  | { readonly status: 400 | 403 | 404 | 422; readonly reason: string };

/**
 * Judges a request to cosign (c2sp.org/tlog-witness, `add-checkpoint`), in the order of the specification. A witness
 * signs a head only if it grew out of the one that it signed before.
 *
 * Two different roots of one size are answered 422, as the deployed witnesses do: a 409 would make the log ask again
 * with the very size that it asked with.
 * @param time seconds since 1970, for the cosignature
 */
export function answerAddCheckpoint(
  request: UnverifiedAddCheckpoint,
  { logKeys, last }: WitnessState,
  signer: NoteSigner,
  time: bigint,
): WitnessAnswer {
  const { oldSize, proof, claimed, note } = request;
  if (logKeys.length === 0) return { status: 404, reason: 'unknown log' };
  if (!accepts(() => verifyCheckpoint(request, logKeys))) {
    return { status: 403, reason: 'no valid signature of the log' };
  }
  if (oldSize > claimed.size) return { status: 400, reason: 'the old size is above the checkpoint’s' };
  if (oldSize !== (last?.size ?? 0n)) return { status: 409, body: formatSize(last?.size ?? 0n) };
  if (!isContinued(last, claimed, proof)) return { status: 422, reason: 'not proved to have only grown' };
  const cosignature = signNote(note.text, signer, time);
  return {
    status: 200,
    body: formatSignatureLines([cosignature]),
    next: { size: claimed.size, root: claimed.root },
  };
}

/** From nothing anything may follow, without a proof; from a head only what a consistency proof shows. */
function isContinued(
  last: WitnessedHead | undefined,
  head: WitnessedHead,
  proof: readonly Uint8Array[],
): boolean {
  if (last === undefined || last.size === 0n) return proof.length === 0;
  return accepts(() => {
    verifyConsistency({ oldSize: last.size, oldRoot: last.root, ...head, proof });
  });
}

function accepts(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
