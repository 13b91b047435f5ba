import type { TileReader, WitnessedHead } from '../audit/index.ts';
import type { Change, Committed, RecordRef, StoredRecord } from '../audit/ledger.ts';
import type { LineagePage, LineageQuestion } from '../lineage/index.ts';
import { recordOf } from './record-text.ts';
import type { RecordText } from './record-text.ts';
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
