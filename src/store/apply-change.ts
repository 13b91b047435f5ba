import { sql } from 'kysely';
import type {
  BudgetUse,
  Change,
  CounterAdvance,
  Precondition,
  RecordRef,
  StoredRecord,
} from '../audit/ledger.ts';
import { MAX_ENTRY } from '../audit/index.ts';
import { Refusal, canonicalJson, parseJsonObject, refuse, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { requireForward } from '../tpm/index.ts';
import type { ClockInfo } from '../tpm/index.ts';
import { checkRowMac, rowMac } from './record-mac.ts';
import type { Database } from './schema.ts';

/** Records may hold policy bundles; nothing that decides is larger. */
const RECORD_LIMITS = { maxBytes: 8 * 1024 * 1024 };
const COUNTERS = 'counters';

/** Where a change stands in its commit. */
export interface Place {
  /** Index that its leaf gets. */
  readonly index: bigint;
  /** Unix ms, not before any earlier leaf. */
  readonly time: number;
  readonly epoch: string;
}

/** What one change comes to: a leaf to append, or a denial without one. */
export interface Applied {
  readonly leaf: Uint8Array | undefined;
  readonly denied: { readonly check: string; readonly reason: string } | undefined;
}

/**
 * Applies one change inside the commit's transaction, under the head lock. Ids that work once are taken whatever comes
 * of the change: a nonce is spent by its first presentation. Everything else is undone when the change is denied.
 */
export async function applyChange(
  db: Database,
  macKey: Uint8Array,
  change: Change,
  place: Place,
): Promise<Applied> {
  const spent = await takeOnce(db, change);
  await sql`SAVEPOINT change`.execute(db);
  try {
    if (spent !== undefined) throw spent;
    for (const condition of change.preconditions) await requireCondition(db, macKey, condition);
    const leaf = encodeLeaf(change.leaf, place);
    if (change.counters !== undefined) await advanceCounters(db, macKey, change.counters, place);
    for (const budget of change.budgets ?? []) await useBudget(db, macKey, budget, place);
    for (const write of change.writes) await writeRecord(db, macKey, write, write.body, place);
    await keepBodies(db, change);
    await sql`RELEASE change`.execute(db);
    return { leaf, denied: undefined };
  } catch (error) {
    await sql`ROLLBACK TO change`.execute(db);
    await sql`RELEASE change`.execute(db);
    if (!(error instanceof Refusal)) throw error;
    return denial(change, error, place);
  }
}

function denial(change: Change, { check, reason }: Refusal, place: Place): Applied {
  const denied = { check, reason };
  if (change.denialLeaf === undefined) return { leaf: undefined, denied };
  return { leaf: encodeLeaf({ ...change.denialLeaf, denial: denied }, place), denied };
}

/** @throws Refusal `leaf-size` */
function encodeLeaf(body: JsonObject, { index, time, epoch }: Place): Uint8Array {
  const leaf = utf8(
    canonicalJson({ ...body, index: String(index), time: new Date(time).toISOString(), epoch }),
  );
  if (leaf.length > MAX_ENTRY)
    refuse('leaf-size', 'the leaf is larger than a log entry can be', { bytes: leaf.length });
  return leaf;
}

/** Takes every id; gives the refusal of the first that was taken before. */
async function takeOnce(db: Database, change: Change): Promise<Refusal | undefined> {
  let spent: Refusal | undefined;
  for (const { kind, id, expires, check, reason } of change.once) {
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('once')
      .values({ kind, id, expires })
      .onConflict((conflict) => conflict.doNothing())
      .executeTakeFirst();
    if (numInsertedOrUpdatedRows !== 1n) spent ??= new Refusal(check, reason);
  }
  return spent;
}

async function requireCondition(db: Database, macKey: Uint8Array, condition: Precondition): Promise<void> {
  const record = await readRecord(db, macKey, condition);
  const holds = condition.is === 'absent' ? record === undefined : record?.version === condition.version;
  if (!holds) refuse(condition.check, condition.reason);
}

/** The boot rule of PROTOCOL 7, against the mark as it is now. @throws Refusal `e17` */
async function advanceCounters(
  db: Database,
  macKey: Uint8Array,
  next: CounterAdvance,
  place: Place,
): Promise<void> {
  const ref = { kind: COUNTERS, id: next.ek };
  const last = await readRecord(db, macKey, ref);
  if (last !== undefined && next.byOperator !== true)
    requireForward(clockInfo(last.body), clockInfo({ ...next }));
  const { resetCount, restartCount, clock, safe } = next;
  await writeRecord(db, macKey, ref, { resetCount, restartCount, clock, safe }, place);
}

/** @throws Refusal: the budget's own check when nothing is left */
async function useBudget(
  db: Database,
  macKey: Uint8Array,
  { kind, id, add, limit, check, reason }: BudgetUse,
  place: Place,
): Promise<void> {
  const before = (await readRecord(db, macKey, { kind, id }))?.body['used'] ?? 0;
  const used = Math.max(0, Number(before) + add);
  // Written so that a number that is none is a refusal too.
  if (add > 0 && !(used <= limit)) refuse(check, reason, { limit });
  await writeRecord(db, macKey, { kind, id }, { used }, place);
}

function clockInfo(body: JsonObject): ClockInfo {
  return {
    clock: typeof body['clock'] === 'string' ? BigInt(body['clock']) : 0n,
    resetCount: Number(body['resetCount']),
    restartCount: Number(body['restartCount']),
    safe: body['safe'] === true,
  };
}

/** Reads a record and checks its MAC. @throws Refusal `record-forged` */
export async function readRecord(
  db: Database,
  macKey: Uint8Array,
  ref: RecordRef,
): Promise<StoredRecord | undefined> {
  const row = await db
    .selectFrom('records')
    .selectAll()
    .where('kind', '=', ref.kind)
    .where('id', '=', ref.id)
    .executeTakeFirst();
  return row === undefined ? undefined : openRow(macKey, row);
}

/** A row as a record, after its MAC. @throws Refusal `record-forged` */
export function openRow(
  macKey: Uint8Array,
  { mac, ...row }: RecordRef & { version: number; body: string; leaf: string; mac: Uint8Array },
): StoredRecord {
  checkRowMac(macKey, row, mac);
  return { ...row, body: parseJsonObject(utf8(row.body), 'record', RECORD_LIMITS) };
}

async function writeRecord(
  db: Database,
  macKey: Uint8Array,
  ref: RecordRef,
  body: JsonObject,
  place: Place,
): Promise<void> {
  const before = await readRecord(db, macKey, ref);
  const row = {
    kind: ref.kind,
    id: ref.id,
    version: (before?.version ?? 0) + 1,
    body: canonicalJson(body),
    leaf: String(place.index),
  };
  const mac = rowMac(macKey, row);
  const changed = { version: row.version, body: row.body, leaf: row.leaf, mac };
  await db
    .insertInto('records')
    .values({ ...row, mac })
    .onConflict((conflict) => conflict.columns(['kind', 'id']).doUpdateSet(changed))
    .execute();
}

async function keepBodies(db: Database, { bodies }: Change): Promise<void> {
  for (const { sha256, data, keepUntil } of bodies) {
    await db
      .insertInto('bodies')
      .values({ sha256, data, keep_until: keepUntil })
      // What is named again is kept as long as the newest that names it.
      .onConflict((conflict) =>
        conflict
          .column('sha256')
          .doUpdateSet({ keep_until: keepUntil })
          .where('bodies.keep_until', '<', keepUntil),
      )
      .execute();
  }
}
