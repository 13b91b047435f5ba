import type { Change, Committed, Ledger } from '../audit/ledger.ts';
import { Refusal } from '../base/index.ts';

/** Changes in one commit at the most: a bound on how long the head's lock is held. */
const MAX_BATCH = 256;

interface Waiting {
  readonly change: Change;
  readonly resolve: (committed: Committed) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Group commit: whatever came while a commit ran goes into the next one, back to back, without a timer. When a commit
 * fails, nothing in it was decided: each of its changes is answered `ledger-unavailable`.
 */
export function groupCommit(commit: (changes: readonly Change[]) => Promise<Committed[]>): Ledger {
  const waiting: Waiting[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    running = true;
    while (waiting.length > 0) await commitBatch(commit, waiting.splice(0, MAX_BATCH));
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
  commit: (changes: readonly Change[]) => Promise<Committed[]>,
  batch: readonly Waiting[],
): Promise<void> {
  try {
    const answers = await commit(batch.map(({ change }) => change));
    batch.forEach(({ resolve, reject }, i) => {
      const answer = answers[i];
      if (answer === undefined) reject(unavailable('no answer for the change'));
      else resolve(answer);
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    for (const { reject } of batch) reject(unavailable(reason));
  }
}

const unavailable = (reason: string): Refusal =>
  new Refusal('ledger-unavailable', `the decision could not be written: ${reason}`);
