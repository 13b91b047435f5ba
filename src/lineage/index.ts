export { MAX_PAGE } from './answer.ts';
export type { LineagePage, LineageQuestion } from './answer.ts';
export { fileEntry } from './filing.ts';
export type { EarlierEntries, Filing, KnownOrigin } from './filing.ts';
export { LISTED_BY, indexKey, initiatorId, isOrigin } from './keys.ts';
export type { LineageKey, ListedBy } from './keys.ts';
export { MemoryLineage } from './memory-index.ts';
export type { IndexRow, LineageIndex, LineageSource, LogEntries, RowQuery } from './ports.ts';
export { answerQuestion, isListedBy } from './query.ts';
