import { Refusal } from '../base/index.ts';

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
