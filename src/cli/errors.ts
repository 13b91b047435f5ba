/** Wrong use of the command line: unknown flag, missing argument, a file that can't be opened. Exit 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
