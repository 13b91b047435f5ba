import { answerAddCheckpoint, parseAddCheckpoint } from '../../audit/index.ts';
import type { NoteSigner, VerifierKey, WitnessAnswer } from '../../audit/index.ts';
import type { Clock } from '../../base/index.ts';
import type { StoreOperations } from '../../store/index.ts';

/** What witnessing other logs needs. */
export interface WitnessDeskParts {
  readonly signer: NoteSigner;
  /** Keys of the logs that are witnessed. */
  readonly logs: readonly VerifierKey[];
  readonly store: Pick<StoreOperations, 'witnessed' | 'witness'>;
  readonly clock: Clock;
}

/** Requests that came at the same moment and lost; the next answer is a 409 by itself. */
const TRIES = 4;

/** This verifier as a witness of other logs (c2sp.org/tlog-witness). */
export class WitnessDesk {
  readonly #parts: WitnessDeskParts;

  constructor(parts: WitnessDeskParts) {
    this.#parts = parts;
  }

  /** What it cosigns with, as others write it into their policies. */
  get key(): VerifierKey {
    return this.#parts.signer.key;
  }

  /**
   * Judges `add-checkpoint`. A cosignature leaves only after the head that it is for is stored, by a step that fails when
   * another request moved the stored head meanwhile; then everything is judged again.
   * @throws Refusal `malformed` for what isn't a request; `record-forged` when the stored head was edited
   */
  async answer(body: Uint8Array): Promise<WitnessAnswer> {
    const request = parseAddCheckpoint(body);
    const { origin } = request.claimed;
    const logKeys = this.#parts.logs.filter(({ name }) => name === origin);
    const { store, signer, clock } = this.#parts;
    for (let tries = 0; tries < TRIES; tries++) {
      const last = logKeys.length === 0 ? undefined : await store.witnessed(origin);
      const seconds = BigInt(Math.floor(clock.now() / 1000));
      const answer = answerAddCheckpoint(request, { logKeys, last }, signer, seconds);
      if (answer.status !== 200) return answer;
      if (await store.witness({ origin, before: last, next: answer.next })) return answer;
    }
    const last = await store.witnessed(origin);
    return { status: 409, body: `${String(last?.size ?? 0n)}\n` };
  }
}
