import { parseCheckpoint, verifyCheckpoint, verifyConsistency } from '../audit/index.ts';
import type { Checkpoint, VerifierKey } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

/**
 * The newest checkpoint that this host has verified. It only moves forward, and only along consistency proofs: the
 * verifier can't show this host a log that lacks what it showed before.
 *
 * What is read and what is advanced from must be the same, so a request that names the log's size is made, sent and
 * judged inside one `withTpmLock`.
 */
export class CheckpointMemory {
  readonly #state: StateDirectory;
  readonly #logKeys: () => readonly VerifierKey[];

  constructor(state: StateDirectory, logKeys: () => readonly VerifierKey[]) {
    this.#state = state;
    this.#logKeys = logKeys;
  }

  /** @throws Refusal `agent-state` without one: enrollment stores the first */
  read(): Checkpoint {
    const bytes =
      this.#state.read(STATE_FILES.checkpoint) ??
      refuse('agent-state', 'the state directory has no checkpoint', { directory: this.#state.path });
    return parseCheckpoint(bytes).claimed;
  }

  /**
   * Verifies a newer checkpoint and keeps it.
   * @param note as the log signed it
   * @param consistency proof from the size that {@link CheckpointMemory.read} gave
   * @throws Refusal `malformed`, `log-origin`, `log-signature`, `log-consistency`
   */
  advance(note: Uint8Array, consistency: readonly Uint8Array[]): Checkpoint {
    const before = this.read();
    const next = parseCheckpoint(note);
    verifyCheckpoint(next, this.#logKeys());
    const { origin, size, root } = next.claimed;
    if (origin !== before.origin)
      refuse('log-origin', 'the checkpoint is of another log than the one before', { origin });
    verifyConsistency({ oldSize: before.size, oldRoot: before.root, size, root, proof: consistency });
    this.#state.write(STATE_FILES.checkpoint, note);
    return next.claimed;
  }
}
