import type { Change, Committed, Ledger } from '../audit/ledger.ts';
import { Refusal } from '../base/index.ts';

/** Changes in one commit at the most: a bound on how long the head's lock is held. */
const MAX_BATCH = 256;

interface Waiting {
  readonly change: Change;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: unknown) => void;
}

/** Commits a batch. */
export type CommitBatch = (changes: readonly Change[]) => Promise<Committed[]>;

/**
 * Group commit: whatever came while a commit ran goes into the next one, back to back, without a timer. When a commit
 * fails, nothing in it was decided: each of its changes is answered `ledger-unavailable`.
 * @param onError told why a commit failed; whoever asked isn't: a database's messages name files and queries
 */
export function groupCommit(
  commit: CommitBatch,
  onError: (error: unknown) => void = () => undefined,
): Ledger {
  const waiting: Waiting[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) await commitBatch(commit, waiting.splice(0, MAX_BATCH), onError);
    running = false;
  };
  return {
    commit: (change) =>
      new Promise((resolve, reject) => {
        waiting.push({ change, resolve, reject });
        if (!running) void run();
      }),
  };
}

async function commitBatch(
  commit: CommitBatch,
  batch: readonly Waiting[],
  onError: (error: unknown) => void,
): Promise<void> {
  try {
    const answers = await commit(batch.map(({ change }) => change));
    batch.forEach(({ resolve, reject }, i) => {
      const answer = answers[i];
      if (answer === undefined) reject(unavailable());
      else resolve(answer);
    });
  } catch (error) {
    onError(error);
    for (const { reject } of batch) reject(unavailable());
  }
}

const unavailable = (): Refusal => new Refusal('ledger-unavailable', 'the decision could not be written');
