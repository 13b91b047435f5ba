import { refuse } from '../base/index.ts';
import type { Database } from './schema.ts';
import { StoreMemory } from './store-memory.ts';

/**
 * Begins a new epoch of a store: what was given out under the one before (nonces, join tokens) is void. A store that
 * was brought back doesn't know which of them were used after its copy was made.
 * @throws Refusal `store-head`, `record-stale`
 */
export async function beginEpoch(db: Database, macKey: Uint8Array, epoch: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    const meta = await transaction.selectFrom('meta').selectAll().execute();
    const value = (name: string): string =>
      meta.find((row) => row.name === name)?.value ?? refuse('store-head', 'the store has no name');
    const from = { epoch: value('epoch'), origin: value('origin') };
    await StoreMemory.rename(transaction, macKey, from, { ...from, epoch });
    await transaction.updateTable('meta').set({ value: epoch }).where('name', '=', 'epoch').execute();
  });
}
