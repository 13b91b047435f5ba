import { Refusal } from '../base/index.ts';
import { VerifierRefusal } from '../client/verifier-refusal.ts';

/** Wrong use of the command line: unknown flag, missing argument, a file that can't be opened. Exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Parses the value of a flag: what is wrong with it is wrong use of the command line. @throws UsageError */
export function inUsage<T>(flag: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Refusal) throw new UsageError(`${flag}: ${error.reason}`);
    throw error;
  }
}

const STATUS = { 'not-found': 404, conflict: 409 } as const;

/**
 * What is at the verifier doesn't fit what was asked, as seen in its own list: said as the verifier says it of an id, so
 * that programs find one denial for both. Not wrong use of the command line: exit 1.
 * @throws VerifierRefusal `not-found` or `conflict`
 */
export function refuseState(code: keyof typeof STATUS, reason: string, remedy: string): never {
  throw new VerifierRefusal(
    { stage: 'request', code, check: code, reason, remedy, detail: {} },
    STATUS[code],
  );
}
