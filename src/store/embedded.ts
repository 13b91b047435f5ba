import { MAX_ENTRY, encodeBundle, leafPlace } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import { parseJsonObject, refuse } from '../base/index.ts';
import { answerQuestion } from '../lineage/index.ts';
import { lineageSource } from './lineage-index.ts';
import { ensureLineage } from './lineage-rebuild.ts';
import type { Head } from './head.ts';
import { migrate } from './migrations.ts';
import { withRecords } from './operations.ts';
import type { StoreOperations, StoreTexts } from './operations.ts';
import { runDirectly } from './prepared.ts';
import type { Database } from './schema.ts';
import type { SequencerKeys } from './sign-head.ts';
import { Sequencer } from './sequencer.ts';
import { signHeadAnew } from './sign-head.ts';
import { StoreMemory } from './store-memory.ts';
import { tileStore } from './tile-store.ts';
import { keepCosigned, readCosigned, readWitnessed, storeWitnessed } from './witness-tables.ts';

/** Opens a store in this thread. See {@link openStoreTexts}. */
export async function openStore(
  db: Database,
  keys: SequencerKeys,
  clock: Clock,
  newEpoch: string,
): Promise<StoreOperations> {
  return withRecords(await openStoreTexts(db, keys, clock, newEpoch));
}

/**
 * Opens the operations over a database: migrates it, fixes its epoch and origin, and compares all of its rows with what
 * its head says of them.
 * @throws Refusal `log-origin`, `store-version`, `store-head`, `record-stale`
 */
export async function openStoreTexts(
  db: Database,
  keys: SequencerKeys,
  clock: Clock,
  newEpoch: string,
): Promise<StoreTexts> {
  await migrate(db);
  await ensureLineage(db);
  const epoch = await fixMeta(db, 'epoch', newEpoch);
  const origin = await fixMeta(db, 'origin', keys.signer.key.name);
  if (origin !== keys.signer.key.name) {
    refuse('log-origin', 'the store holds the log of another origin', {
      store: origin,
      key: keys.signer.key.name,
    });
  }
  await signHeadAnew(db, keys);
  const memory = await StoreMemory.open(db, keys.macKey, { epoch, origin });
  const sequencer = new Sequencer(memory, keys, clock, epoch, await openedAt(db));
  // What is read is compared with what is remembered before anybody else changes either.
  const alone = async <T>(work: (one: Database) => Promise<T>): Promise<T> =>
    await db.connection().execute(async (one) => {
      await runDirectly(one);
      await memory.settle(one);
      await memory.rows.lookAround(one);
      return await work(one);
    });
  return {
    commit: async (changes) => await alone((one) => sequencer.commit(one, changes)),
    get: async (ref) => await alone((one) => memory.rows.read(one, ref)),
    list: async (kind, options) => await alone((one) => memory.rows.list(one, kind, options)),
    head: async () => await alone(() => Promise.resolve(memory.head && headFacts(memory.head))),
    leaves: async (from, count) => await readLeaves(db, from, count),
    tiles: tileStore(db),
    entryBundle: async (index, width) => encodeBundle(await readLeaves(db, index * 256, width)),
    body: async (sha256) => await readBody(db, sha256),
    lineage: async (question) => await answerQuestion(lineageSource(db), question),
    forget: async (now) => {
      await alone((one) => memory.forget(one, now));
      await db.deleteFrom('bodies').where('keep_until', '<', now).execute();
    },
    witnessed: async (origin) => await readWitnessed(db, keys.macKey, origin),
    witness: async (step) => await storeWitnessed(db, keys.macKey, step),
    cosigned: async () => await readCosigned(db),
    keepCosigned: async (size, checkpoint) => {
      await keepCosigned(db, size, checkpoint);
    },
    epoch: () => Promise.resolve(epoch),
    close: async () => {
      await db.destroy();
    },
  };
}

/**
 * When a log opened that goes on from a closed one: Unix ms; 0 for a log that is whole, and for an empty one. That its first
 * entry is the one that the authorities named is looked at before anything is decided (requireNamedLog in src/server).
 */
async function openedAt(db: Database): Promise<number> {
  const [first] = await readLeaves(db, 0, 1);
  if (first === undefined) return 0;
  const { kind, previous } = parseJsonObject(first, 'audit leaf', { maxBytes: MAX_ENTRY });
  return kind === 'opening' && previous !== null ? Date.parse(leafPlace(first).time) : 0;
}

/** The value that the store has, or the given one, written now. */
async function fixMeta(db: Database, name: string, value: string): Promise<string> {
  await db
    .insertInto('meta')
    .values({ name, value })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await db.selectFrom('meta').select('value').where('name', '=', name).executeTakeFirst();
  return row?.value ?? value;
}

const headFacts = ({ size, checkpoint }: Head): { readonly size: string; readonly checkpoint: string } => ({
  size: String(size),
  checkpoint,
});

async function readLeaves(db: Database, from: number, count: number): Promise<Uint8Array[]> {
  const rows = await db
    .selectFrom('leaves')
    .select('data')
    .where('position', '>=', from)
    .where('position', '<', from + Math.min(count, 1024))
    .orderBy('position')
    .execute();
  return rows.map(({ data }) => Uint8Array.from(data));
}

async function readBody(db: Database, sha256: string): Promise<Uint8Array | undefined> {
  const row = await db.selectFrom('bodies').select('data').where('sha256', '=', sha256).executeTakeFirst();
  return row === undefined ? undefined : Uint8Array.from(row.data);
}
