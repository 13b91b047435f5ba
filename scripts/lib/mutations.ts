/** A small patch that breaks one check, and the test file that must then fail. */
export interface Mutation {
  /** Unique, readable: `scripts/mutate NAME` runs it alone. */
  readonly name: string;
  readonly file: string;
  /** Exactly one occurrence in the file. */
  readonly find: string;
  readonly replace: string;
  readonly test: string;
}
