import type { Kysely } from 'kysely';

/** Facts about the store itself: schema version, epoch, log origin. */
export interface MetaTable {
  name: string;
  value: string;
}

/** What decides; `mac` covers the whole row (record-mac.ts). */
export interface RecordsTable {
  kind: string;
  id: string;
  version: number;
  body: string;
  leaf: string;
  mac: Uint8Array;
}

/** Ids that work once. */
export interface OnceTable {
  kind: string;
  id: string;
  expires: number;
}

/** Entries of the log. */
export interface LeavesTable {
  position: number;
  data: Uint8Array;
}

/** Hash tiles; one row grows from one hash to 256. */
export interface TilesTable {
  level: number;
  position: number;
  bytes: Uint8Array;
}

/** The one head row: size, newest leaf's time and the signed checkpoint. */
export interface HeadTable {
  id: 1;
  size: number;
  time: number;
  checkpoint: string;
  /** MACs of the rows as a whole and of the head (head.ts); null in a store that was written before they were. */
  chain: Uint8Array | null;
  records_mac: Uint8Array | null;
  once_mac: Uint8Array | null;
  mac: Uint8Array | null;
}

/** Which leaf's change wrote which records (journal.ts). */
export interface JournalTable {
  position: number;
  data: Uint8Array;
}

/** Evidence and requests by digest. */
export interface BodiesTable {
  sha256: string;
  data: Uint8Array;
  keep_until: number;
}

/** Heads of other logs that this verifier cosigned (witness-tables.ts). */
export interface WitnessedTable {
  origin: string;
  version: number;
  /** Decimal. */
  size: string;
  /** Hex. */
  root: string;
  mac: Uint8Array;
}

/** The newest checkpoint of the own log that witnesses cosigned: one row. */
export interface CosignedTable {
  id: 1;
  size: number;
  checkpoint: string;
}

/** The lineage index (lineage-index.ts). */
export interface LineageRowsTable {
  key: string;
  node: number;
  leaf: number;
}

export interface Schema {
  meta: MetaTable;
  records: RecordsTable;
  once: OnceTable;
  leaves: LeavesTable;
  tiles: TilesTable;
  head: HeadTable;
  journal: JournalTable;
  bodies: BodiesTable;
  lineage: LineageRowsTable;
  witnessed: WitnessedTable;
  cosigned: CosignedTable;
}

export type Database = Kysely<Schema>;
