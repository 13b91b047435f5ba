/** What is asked of the index. */
export type LineageQuestion = {
  /** Entries in the tree that answers are proved in: nothing later is told. */
  readonly size: number;
} & (
  | { readonly ask: 'ancestors'; readonly executionId: string }
  | ({ readonly ask: 'descendants'; readonly executionId: string } & Paging)
  /** What rests on an id, of one kind or, with none named, of any. */
  | ({ readonly ask: 'list'; readonly kinds: readonly string[]; readonly id: string } & Paging)
);

export interface Paging {
  /** Position of the last execution of the page before; null: from the start. */
  readonly after: number | null;
  /** Executions, 1 … {@link MAX_PAGE}. */
  readonly limit: number;
}

export const MAX_PAGE = 100;

/** One page of an answer: entries of the log, and what they are there for. Nobody need believe the second. */
export interface LineagePage {
  /** Positions of the decisions that made the executions found, each with the entry because of which it was found. */
  readonly found: readonly { readonly decision: number; readonly because: number }[];
  /** Every entry that the answer consists of, in the log's order. */
  readonly entries: readonly { readonly position: number; readonly data: Uint8Array }[];
  /** Where the next page begins; null at the end. */
  readonly next: number | null;
}
