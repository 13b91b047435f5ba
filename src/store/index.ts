export { openStore } from './embedded.ts';
export type { StoreOperations } from './embedded.ts';
export { groupCommit } from './group-commit.ts';
export { SCHEMA_VERSION, migrate } from './migrations.ts';
export { deriveKey } from './record-mac.ts';
export type { SequencerKeys } from './sequencer.ts';
export { openSqlite } from './sqlite.ts';
export { openWorkerStore } from './worker-store.ts';
