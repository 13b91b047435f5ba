import { sql } from 'kysely';
import type { BudgetUse, Change, CounterAdvance, Precondition } from '../audit/ledger.ts';
import { MAX_ENTRY } from '../audit/index.ts';
import { Refusal, canonicalJson, refuse, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { requireForward } from '../tpm/index.ts';
import type { ClockInfo } from '../tpm/index.ts';
import type { JournalWrite } from './journal.ts';
import { prepared } from './prepared.ts';
import type { OnceRow } from './record-set.ts';
import { recordOf } from './record-text.ts';
import type { Rows } from './rows.ts';
import type { Database } from './schema.ts';

const COUNTERS = 'counters';

/** Where a change stands in its commit. */
export interface Place {
  /** Index that its leaf gets. */
  readonly index: bigint;
  /** Unix ms, not before any earlier leaf. */
  readonly time: number;
  readonly epoch: string;
  /** Unix ms at which a log opened that goes on from a closed one; 0 for a log that is whole. */
  readonly opened: number;
}

/** What one change comes to: a leaf to append, or a denial without one. */
export interface Applied {
  readonly leaf: Uint8Array | undefined;
  readonly denied: { readonly check: string; readonly reason: string } | undefined;
  /** Records that it wrote. */
  readonly writes: readonly JournalWrite[];
}

const insertOnce = prepared((db: Database, kind: string, id: string, expires: number) =>
  db
    .insertInto('once')
    .values({ kind, id, expires })
    .onConflict((conflict) => conflict.doNothing()),
);
const keepBody = prepared((db: Database, sha256: string, data: Uint8Array, keepUntil: number) =>
  db
    .insertInto('bodies')
    .values({ sha256, data, keep_until: keepUntil })
    // What is named again is kept as long as the newest that names it.
    .onConflict((conflict) =>
      conflict
        .column('sha256')
        .doUpdateSet({ keep_until: keepUntil })
        .where('bodies.keep_until', '<', keepUntil),
    ),
);
/** A day more than was asked for: what is used all the time is written once a day. */
const DAY_MS = 86_400_000;
const keepLonger = prepared((db: Database, sha256: string, keepUntil: number, andLonger: number) =>
  db
    .updateTable('bodies')
    .set({ keep_until: andLonger })
    .where('sha256', '=', sha256)
    .where('keep_until', '<', keepUntil),
);
const savepoint = prepared((db: Database) => ({ compile: () => sql`SAVEPOINT change`.compile(db) }));
const rollBack = prepared((db: Database) => ({ compile: () => sql`ROLLBACK TO change`.compile(db) }));
const release = prepared((db: Database) => ({ compile: () => sql`RELEASE change`.compile(db) }));

/**
 * Applies one change inside the commit's transaction, under the head lock. Ids that work once are taken whatever comes
 * of the change: a nonce is spent by its first presentation. Everything else is undone when the change is denied.
 */
export async function applyChange(db: Database, rows: Rows, change: Change, place: Place): Promise<Applied> {
  const spent = await takeOnce(db, rows, change, place);
  await savepoint(db);
  try {
    if (spent !== undefined) throw spent;
    for (const condition of change.preconditions) await requireCondition(db, rows, condition);
    const leaf = encodeLeaf(change.leaf, place);
    if (change.counters !== undefined) await advanceCounters(db, rows, change.counters, place);
    for (const budget of change.budgets ?? []) await useBudget(db, rows, budget, place);
    for (const write of change.writes) await rows.write(db, write, write.body, place.index);
    await keepBodies(db, change.bodies, change.keepLonger);
    await release(db);
    const writes = rows.set.writes();
    rows.set.endChange(true);
    return { leaf, denied: undefined, writes };
  } catch (error) {
    await rollBack(db);
    await release(db);
    rows.set.endChange(false);
    if (!(error instanceof Refusal)) throw error;
    if (change.denialLeaf !== undefined) await keepBodies(db, change.denialBodies ?? [], change.keepLonger);
    return denial(change, error, place);
  }
}

function denial(change: Change, { check, reason }: Refusal, place: Place): Applied {
  const denied = { check, reason };
  if (change.denialLeaf === undefined) return { leaf: undefined, denied, writes: [] };
  return { leaf: encodeLeaf({ ...change.denialLeaf, denial: denied }, place), denied, writes: [] };
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
async function takeOnce(
  db: Database,
  rows: Rows,
  change: Change,
  { opened }: Place,
): Promise<Refusal | undefined> {
  let spent: Refusal | undefined;
  for (const { kind, id, expires, check, reason, made } of change.once) {
    // What is remembered counts as much as the row: a row that was deleted brings no id back.
    const taken = rows.set.wasTaken({ kind, id }) || !(await insertedOnce(db, { kind, id, expires }));
    if (!taken) rows.set.take({ kind, id, expires });
    // Written so that a time that is none is a refusal too.
    if (opened > 0 && made !== undefined && !(made >= opened)) spent ??= new Refusal(check, FROM_BEFORE);
    if (taken) spent ??= new Refusal(check, reason);
  }
  return spent;
}

const FROM_BEFORE =
  'it is from before this log opened, and may have been used in entries that are lost: make a new one';

async function insertedOnce(db: Database, { kind, id, expires }: OnceRow): Promise<boolean> {
  return (await insertOnce(db, kind, id, expires)).changed === 1n;
}

async function requireCondition(db: Database, rows: Rows, condition: Precondition): Promise<void> {
  const record = await rows.read(db, condition);
  const holds = condition.is === 'absent' ? record === undefined : record?.version === condition.version;
  if (!holds) refuse(condition.check, condition.reason);
}

/** The boot rule of PROTOCOL 7, against the mark as it is now. @throws Refusal `e17`, `quote-overtaken` */
async function advanceCounters(db: Database, rows: Rows, next: CounterAdvance, place: Place): Promise<void> {
  const ref = { kind: COUNTERS, id: next.ek };
  const last = await rows.read(db, ref);
  if (last !== undefined && next.byOperator !== true) requireNewer(recordOf(last).body, next);
  const { resetCount, restartCount, clock, safe } = next;
  await rows.write(db, ref, { resetCount, restartCount, clock, safe, at: place.time }, place.index);
}

/**
 * Who is between can hold a quote back until a later one was accepted. Only what answers a challenge of after that shows
 * that the TPM itself went back.
 * @throws Refusal `e17`, `quote-overtaken`
 */
function requireNewer(mark: JsonObject, next: CounterAdvance): void {
  try {
    requireForward(clockInfo(mark), clockInfo({ ...next }));
  } catch (error) {
    const { at } = mark;
    if (typeof at !== 'number' || next.challenged === undefined || next.challenged >= at) throw error;
    refuse(
      'quote-overtaken',
      'a later quote of this host was accepted after this one’s challenge was issued',
    );
  }
}

/** @throws Refusal: the budget's own check when nothing is left */
async function useBudget(
  db: Database,
  rows: Rows,
  { kind, id, add, limit, check, reason }: BudgetUse,
  place: Place,
): Promise<void> {
  const record = await rows.read(db, { kind, id });
  const before = (record && recordOf(record).body['used']) ?? 0;
  const used = Math.max(0, Number(before) + add);
  // Written so that a number that is none is a refusal too.
  if (add > 0 && !(used <= limit)) refuse(check, reason, { limit });
  await rows.write(db, { kind, id }, { used }, place.index);
}

function clockInfo(body: JsonObject): ClockInfo {
  return {
    clock: typeof body['clock'] === 'string' ? BigInt(body['clock']) : 0n,
    resetCount: Number(body['resetCount']),
    restartCount: Number(body['restartCount']),
    safe: body['safe'] === true,
  };
}

async function keepBodies(
  db: Database,
  bodies: Change['bodies'],
  earlier: Change['keepLonger'] = [],
): Promise<void> {
  for (const { sha256, data, keepUntil } of bodies) await keepBody(db, sha256, data, keepUntil);
  for (const { sha256, keepUntil } of earlier) await keepLonger(db, sha256, keepUntil, keepUntil + DAY_MS);
}
