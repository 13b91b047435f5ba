import { parseCheckpoint, verifyCheckpoint, verifyConsistency } from '../audit/index.ts';
import type { Checkpoint } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { goesOnFrom } from '../policy/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
import { STATE_FILES } from './state-directory.ts';
import type { StateDirectory } from './state-directory.ts';

/**
 * The newest checkpoint that this host has verified. It only moves forward, and only along consistency proofs: the
 * verifier can't show this host a log that lacks what it showed before. Where the authorities closed that log, it goes on
 * from its successor's first entry, as they signed it; by anybody else's word it doesn't.
 *
 * What is read and what is advanced from must be the same, so a request that names the log's size is made, sent and
 * judged inside one `withTpmLock`.
 */
export class CheckpointMemory {
  readonly #state: StateDirectory;
  readonly #trust: () => Pick<VerifiedTrustBundle, 'log' | 'succession'>;

  /** @param trust the newest trust bundle of now */
  constructor(state: StateDirectory, trust: () => Pick<VerifiedTrustBundle, 'log' | 'succession'>) {
    this.#state = state;
    this.#trust = trust;
  }

  /** @throws Refusal `agent-state` without one: enrollment stores the first; `log-succession` */
  read(): Checkpoint {
    const bytes =
      this.#state.read(STATE_FILES.checkpoint) ??
      refuse('agent-state', 'the state directory has no checkpoint', { directory: this.#state.path });
    return goesOnFrom(parseCheckpoint(bytes).claimed, this.#trust());
  }

  /**
   * Verifies a newer checkpoint and keeps it.
   * @param note as the log signed it
   * @param consistency proof from the size that {@link CheckpointMemory.read} gave
   * @throws Refusal `malformed`, `log-origin`, `log-signature`, `log-consistency`, `log-succession`
   */
  advance(note: Uint8Array, consistency: readonly Uint8Array[]): Checkpoint {
    const before = this.read();
    const next = parseCheckpoint(note);
    verifyCheckpoint(next, this.#trust().log);
    const { origin, size, root } = next.claimed;
    if (origin !== before.origin)
      refuse('log-origin', 'the checkpoint is of another log than the one before', { origin });
    verifyConsistency({ oldSize: before.size, oldRoot: before.root, size, root, proof: consistency });
    this.#state.write(STATE_FILES.checkpoint, note);
    return next.claimed;
  }
}
