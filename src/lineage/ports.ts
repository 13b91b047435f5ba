/** One row of the index: the entry `node` is filed under a key because of the entry `leaf`, mostly itself. */
export interface IndexRow {
  /** Position of the decision that made the execution, or of the entry that is looked for. */
  readonly node: number;
  /** Position of the entry that says so: `node`, or a later renewal. */
  readonly leaf: number;
}

/** Rows of one key in the order of the log. */
export interface RowQuery {
  /** Only rows after this position; -1: all. */
  readonly after: number;
  /** Only rows whose node and leaf are below it: the size of the tree that proofs are made in. */
  readonly below: number;
  readonly limit: number;
  /** The last ones, newest first. */
  readonly newest?: true;
}

/** The index as queries need it. Rows are hints: whoever follows one looks at the entry. */
export interface LineageIndex {
  /** @param key of `indexKey` */
  rows(key: string, query: RowQuery): Promise<readonly IndexRow[]>;
}

/** Entries of the log by position; undefined where there is none. */
export interface LogEntries {
  entry(position: number): Promise<Uint8Array | undefined>;
}

/** Both: what a lineage is made from. */
export interface LineageSource extends LineageIndex, LogEntries {}
