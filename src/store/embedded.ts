import type { Change, Committed, RecordRef, StoredRecord } from '../audit/ledger.ts';
import type { TileReader, WitnessedHead } from '../audit/index.ts';
import { MAX_ENTRY, encodeBundle, leafPlace } from '../audit/index.ts';
import type { Clock } from '../base/index.ts';
import { parseJsonObject, refuse } from '../base/index.ts';
import { answerQuestion } from '../lineage/index.ts';
import type { LineagePage, LineageQuestion } from '../lineage/index.ts';
import { lineageSource } from './lineage-index.ts';
import { ensureLineage } from './lineage-rebuild.ts';
import type { Head } from './head.ts';
import { migrate } from './migrations.ts';
import { runDirectly } from './prepared.ts';
import type { Database } from './schema.ts';
import type { SequencerKeys } from './sign-head.ts';
import { Sequencer } from './sequencer.ts';
import { signHeadAnew } from './sign-head.ts';
import { recordOf } from './rows.ts';
import type { RecordText } from './rows.ts';
import { StoreMemory } from './store-memory.ts';
import { tileStore } from './tile-store.ts';
import { keepCosigned, readCosigned, readWitnessed, storeWitnessed } from './witness-tables.ts';
import type { WitnessStep } from './witness-tables.ts';

/** The store's whole surface, the same in a worker thread, in a test and over another database. */
export interface StoreOperations {
  commit(changes: readonly Change[]): Promise<Committed[]>;
  get(ref: RecordRef): Promise<StoredRecord | undefined>;
  list(
    kind: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredRecord[]>;
  head(): Promise<{ readonly size: string; readonly checkpoint: string } | undefined>;
  leaves(from: number, count: number): Promise<readonly Uint8Array[]>;
  tiles: TileReader;
  entryBundle(index: number, width: number): Promise<Uint8Array>;
  body(sha256: string): Promise<Uint8Array | undefined>;
  /** A page of lineage; see src/lineage. */
  lineage(question: LineageQuestion): Promise<LineagePage>;
  forget(now: number): Promise<void>;
  /** The head of another log that this verifier cosigned last. */
  witnessed(origin: string): Promise<WitnessedHead | undefined>;
  /** Compares and stores such a head; false: it moved meanwhile. Durable when it resolves. */
  witness(step: WitnessStep): Promise<boolean>;
  /** The newest checkpoint of the own log that witnesses cosigned. */
  cosigned(): Promise<string | undefined>;
  keepCosigned(size: bigint, checkpoint: string): Promise<void>;
  /** The store's epoch: what was issued under another one is void. */
  epoch(): Promise<string>;
  close(): Promise<void>;
}

/** The same surface with records as texts: what a store's thread answers. */
export type StoreTexts = Omit<StoreOperations, 'get' | 'list'> & {
  get(ref: RecordRef): Promise<RecordText | undefined>;
  list(
    kind: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly RecordText[]>;
};

/** The operations over those that give texts. */
export function withRecords(texts: StoreTexts): StoreOperations {
  return {
    ...texts,
    get: async (ref) => {
      const found = await texts.get(ref);
      return found && recordOf(found);
    },
    list: async (kind, options) => (await texts.list(kind, options)).map(recordOf),
  };
}

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
