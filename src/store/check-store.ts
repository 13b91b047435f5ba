import {
  EMPTY_EDGE,
  EMPTY_ROOT,
  appendLeaves,
  leafHash,
  parseCheckpoint,
  parseLeaf,
  verifyCheckpoint,
} from '../audit/index.ts';
import type { Tile, VerifierKey } from '../audit/index.ts';
import { Refusal, equalBytes, refuse, utf8 } from '../base/index.ts';
import { sql } from 'kysely';
import { checkRows } from './check-rows.ts';
import { damagedBodies } from './damaged-bodies.ts';
import { Findings } from './findings.ts';
import type { StoreFinding } from './findings.ts';
import type { Database } from './schema.ts';

/** What {@link checkStore} found. */
export interface StoreReport {
  /** Empty when everything holds; the first hundred otherwise. */
  readonly findings: readonly StoreFinding[];
  readonly entries: number;
  readonly records: number;
  readonly tiles: number;
  readonly epoch: string | null;
  readonly origin: string | null;
}

/** What a store is checked with. */
export interface StoreKeys {
  /** Key of the row MACs, 32 bytes. */
  readonly macKey: Uint8Array;
  /** Those that sign now; one of them must have signed the head. */
  readonly logKeys: readonly [VerifierKey, ...VerifierKey[]];
}

const BUNDLE = 256;

/**
 * Checks a whole store as it is at one moment, changing nothing: the database's own integrity; the MAC of every row that decides,
 * that the leaf which it names exists, and that it is the version that was written last; that none is missing; every entry's form and place, none older than the one before; the tree recomputed from the
 * entries and compared with each hash tile and with the signed head; every kept body against its digest.
 * @param onProgress told of rows looked at
 */
export async function checkStore(
  db: Database,
  keys: StoreKeys,
  onProgress: (rows: number) => void = () => undefined,
): Promise<StoreReport> {
  return await db.connection().execute(async (one) => {
    // A transaction that only reads: the verifier may write meanwhile, and this sees nothing of it.
    await sql`BEGIN`.execute(one);
    try {
      return await checkAll(one, keys, onProgress);
    } finally {
      await sql`ROLLBACK`.execute(one);
    }
  });
}

async function checkAll(
  db: Database,
  keys: StoreKeys,
  onProgress: (rows: number) => void,
): Promise<StoreReport> {
  const findings = new Findings();
  await findings.of(() => checkDatabase(db));
  const log = new LogCheck(db, findings, onProgress);
  const { root, entries } = await log.run();
  await findings.of(() => checkHead(db, keys.logKeys, entries, root));
  for await (const sha256 of damagedBodies(db, onProgress))
    findings.add('record-forged', `the kept body ${sha256} is not the one of its digest`);
  const meta = await db.selectFrom('meta').selectAll().execute();
  const value = (name: string): string | null => meta.find((row) => row.name === name)?.value ?? null;
  const name = { epoch: value('epoch') ?? '', origin: value('origin') ?? '' };
  const records = await checkRows(db, { macKey: keys.macKey, name, entries }, findings, onProgress);
  if (value('origin') !== keys.logKeys[0].name)
    findings.add('log-origin', 'the store holds the log of another origin than the key');
  return {
    ...{ findings: findings.list, entries, records, tiles: log.tiles },
    ...{ epoch: value('epoch'), origin: value('origin') },
  };
}

async function checkDatabase(db: Database): Promise<void> {
  const { rows } = await sql<{ integrity_check: string }>`PRAGMA integrity_check`.execute(db);
  const [first] = rows;
  if (rows.length !== 1 || first?.integrity_check !== 'ok')
    refuse('store-damaged', `the database file is damaged: ${first?.integrity_check ?? 'no answer'}`);
}

/** The log from its first entry to its last, bundle by bundle. */
class LogCheck {
  tiles = 0;
  readonly #db: Database;
  readonly #findings: Findings;
  readonly #onProgress: (rows: number) => void;

  constructor(db: Database, findings: Findings, onProgress: (rows: number) => void) {
    this.#db = db;
    this.#findings = findings;
    this.#onProgress = onProgress;
  }

  async run(): Promise<{ readonly root: Uint8Array; readonly entries: number }> {
    let edge = EMPTY_EDGE;
    let root = EMPTY_ROOT;
    let time = '';
    // Tiles that still grow are compared once, when they are as wide as they get.
    let growing: readonly Tile[] = [];
    for (let next = 0; ;) {
      const rows = await this.#rows(next);
      if (rows.length === 0) {
        for (const tile of growing) await this.#compare(tile);
        return { root, entries: next };
      }
      for (const [i, { position, data }] of rows.entries()) {
        if (position !== next + i) this.#findings.add('log-root', `entry ${String(next + i)} is missing`);
        time = this.#entry(next + i, Uint8Array.from(data), time);
      }
      const hashes = rows.map(({ data }) => leafHash(Uint8Array.from(data)));
      const grown = appendLeaves(edge, hashes);
      ({ edge, root } = grown);
      growing = await this.#compareFull([
        ...growing.filter((one) => !isIn(one, grown.tiles)),
        ...grown.tiles,
      ]);
      next += rows.length;
      this.#onProgress(next);
    }
  }

  async #rows(from: number) {
    return await this.#db
      .selectFrom('leaves')
      .selectAll()
      .where('position', '>=', from)
      .orderBy('position')
      .limit(BUNDLE - (from % BUNDLE))
      .execute();
  }

  #entry(position: number, data: Uint8Array, before: string): string {
    try {
      const { index, time } = parseLeaf(data);
      if (index !== String(position))
        this.#findings.add('log-root', `entry ${String(position)} says that it is ${index}`);
      if (time < before)
        this.#findings.add('log-root', `entry ${String(position)} is older than the one before`);
      return time;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#findings.add(error.check, `entry ${String(position)}: ${error.reason}`);
      return before;
    }
  }

  async #compareFull(tiles: readonly Tile[]): Promise<readonly Tile[]> {
    for (const tile of tiles) if (tile.width === BUNDLE) await this.#compare(tile);
    return tiles.filter(({ width }) => width < BUNDLE);
  }

  async #compare({ level, index, bytes }: Tile): Promise<void> {
    this.tiles++;
    const row = await this.#db
      .selectFrom('tiles')
      .select('bytes')
      .where('level', '=', level)
      .where('position', '=', Number(index))
      .executeTakeFirst();
    if (row === undefined || !equalBytes(Uint8Array.from(row.bytes), bytes))
      this.#findings.add('log-tile', `tile ${String(level)}/${String(index)} is not that of the entries`);
  }
}

const isIn = (tile: Tile, others: readonly Tile[]): boolean =>
  others.some(({ level, index }) => level === tile.level && index === tile.index);

async function checkHead(
  db: Database,
  logKeys: readonly VerifierKey[],
  entries: number,
  root: Uint8Array,
): Promise<void> {
  const head = await db.selectFrom('head').selectAll().executeTakeFirst();
  if (head === undefined) {
    if (entries > 0) refuse('log-root', 'the log has entries and no head');
    return;
  }
  const checkpoint = parseCheckpoint(utf8(head.checkpoint));
  verifyCheckpoint(checkpoint, logKeys);
  const { size, root: signedRoot } = checkpoint.claimed;
  if (size !== BigInt(entries) || head.size !== entries)
    refuse('log-root', `the log has ${String(entries)} entries, its signed head says ${String(size)}`);
  if (!equalBytes(root, signedRoot))
    refuse('log-root', 'the entries lead to another root than the signed head’s');
}
