import {
  EMPTY_EDGE,
  READ_NOTHING,
  loadEdge,
  readLog,
  readingAfter,
  requireContinues,
  verifyCheckpoint,
  verifyQuorum,
} from '../../audit/index.ts';
import type { AuditLeaf, Checkpoint, UnverifiedCheckpoint } from '../../audit/index.ts';
import { Refusal } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { mayNotRead } from '../opened-log.ts';
import type { OpenedLog } from '../opened-log.ts';
import type { EntryFilter } from './entry-filter.ts';

/** Every way in which a log can give cause for alarm. */
export const ALARMS = [
  'fork',
  'rollback',
  'signature',
  'witnesses',
  'entry',
  'stale',
  'unreachable',
] as const;
export type AlarmKind = (typeof ALARMS)[number];

/** Something that somebody should look at. */
export interface Alarm {
  readonly alarm: AlarmKind;
  readonly check: string;
  readonly reason: string;
  readonly detail: JsonObject;
}

/** What is watched for. */
export interface WatchRules {
  /** Entries that any of these means. */
  readonly alarmOn: readonly EntryFilter[];
  /** Entries that none of these means; empty: no entry is unexpected. */
  readonly expect: readonly EntryFilter[];
  /** Milliseconds that the newest entry may be old; undefined: as old as it likes. */
  readonly maxAge: number | undefined;
}

/** One look at a log. */
export interface Watched {
  readonly alarms: readonly Alarm[];
  /** The checkpoint that was verified and whose entries were read; undefined when it couldn't be. */
  readonly checkpoint: UnverifiedCheckpoint | undefined;
  /** What was shown instead of a continuation: evidence. */
  readonly offending: UnverifiedCheckpoint | undefined;
  /** Entries read now. */
  readonly entries: number;
  /** Time of the newest entry read, Unix ms; undefined when none was. */
  readonly newest: number | undefined;
  /** Whether entries could be read, or hashes only. */
  readonly read: 'entries' | 'tiles';
}

/** Alarms about entries that one look keeps; what is over it is counted. */
const MAX_ENTRY_ALARMS = 100;

/**
 * Looks at a log once: the newest checkpoint, that it continues the one before, and every entry in between.
 * @param before verified in an earlier look; undefined the first time
 * @param newestBefore Unix ms of the newest entry that an earlier look read
 */
export async function watchLog(
  log: OpenedLog,
  before: Checkpoint | undefined,
  rules: WatchRules,
  now: number,
  newestBefore: number | undefined,
): Promise<Watched> {
  let offending: UnverifiedCheckpoint | undefined;
  const entries = new EntryWatch(rules);
  try {
    const checkpoint = await log.source.checkpoint();
    offending = checkpoint;
    verifyCheckpoint(checkpoint, log.keys);
    if (before !== undefined) await requireContinues(log.source, before, checkpoint.claimed);
    if (log.quorum !== undefined) verifyQuorum(checkpoint, log.quorum);
    const read = await readNew(log, before, checkpoint.claimed, entries);
    const newest = entries.newest ?? newestBefore ?? (await newestTime(log, checkpoint.claimed, read));
    const alarms = [...entries.alarms, ...staleAlarm(newest, rules, now)];
    return { alarms, checkpoint, offending: undefined, entries: entries.count, newest, read };
  } catch (error) {
    const alarm = alarmOf(error, before, offending?.claimed);
    const evidence = alarm.alarm === 'unreachable' ? undefined : offending;
    return {
      ...{ alarms: [alarm], checkpoint: undefined, offending: evidence },
      ...{ entries: 0, newest: newestBefore, read: 'entries' },
    };
  }
}

async function readNew(
  { source }: OpenedLog,
  before: Checkpoint | undefined,
  checkpoint: Checkpoint,
  entries: EntryWatch,
): Promise<'entries' | 'tiles'> {
  const from = before === undefined ? {} : { from: await readingAfter(source, before) };
  const onEntry = (leaf: AuditLeaf): void => {
    entries.see(leaf);
  };
  try {
    await readLog(source, checkpoint, { ...from, onEntry, compareTiles: true });
    return 'entries';
  } catch (error) {
    if (!mayNotRead(error)) throw error;
  }
  await readLog(source, checkpoint, { ...from, what: 'tiles' });
  return 'tiles';
}

/** Of a log in which nothing is new since another process looked: its last entry is read again, and is the root's. */
async function newestTime(
  { source }: OpenedLog,
  checkpoint: Checkpoint,
  read: 'entries' | 'tiles',
): Promise<number | undefined> {
  if (checkpoint.size === 0n || read === 'tiles') return undefined;
  const before = checkpoint.size - 1n;
  const edge = before === 0n ? EMPTY_EDGE : await loadEdge(before, source.tiles);
  let time: number | undefined;
  const onEntry = (leaf: AuditLeaf): void => {
    time = Date.parse(leaf.time);
  };
  await readLog(source, checkpoint, { from: { ...READ_NOTHING, edge }, onEntry });
  return time;
}

class EntryWatch {
  readonly alarms: Alarm[] = [];
  count = 0;
  newest: number | undefined;
  readonly #rules: WatchRules;

  constructor(rules: WatchRules) {
    this.#rules = rules;
  }

  see(leaf: AuditLeaf): void {
    this.count++;
    this.newest = Date.parse(leaf.time);
    const { alarmOn, expect } = this.#rules;
    const meant = alarmOn.find((filter) => filter.matches(leaf));
    const unexpected = expect.length > 0 && !expect.some((filter) => filter.matches(leaf));
    if ((meant === undefined && !unexpected) || this.alarms.length === MAX_ENTRY_ALARMS) return;
    this.alarms.push({
      alarm: 'entry',
      check: 'monitor-entry',
      reason: meant === undefined ? 'an entry that is not expected' : `an entry like ${meant.text}`,
      detail: { index: leaf.index, time: leaf.time, kind: leaf.kind },
    });
  }
}

function staleAlarm(newest: number | undefined, { maxAge }: WatchRules, now: number): Alarm[] {
  if (maxAge === undefined || (newest !== undefined && now - newest <= maxAge)) return [];
  const detail = { newest: newest === undefined ? null : new Date(newest).toISOString() };
  const reason =
    newest === undefined ? 'nobody said how old the newest entry is' : 'the newest entry is too old';
  return [{ alarm: 'stale', check: 'monitor-stale', reason, detail }];
}

/** What a failure means: the log showed something that it can't have, or it showed nothing. */
function alarmOf(error: unknown, before: Checkpoint | undefined, shown: Checkpoint | undefined): Alarm {
  if (!(error instanceof Refusal)) throw error;
  const { check, reason, detail } = error;
  // A verifier that says itself that its log is damaged has shown that, not nothing.
  const known = ALARM_OF[check];
  const shorter = before !== undefined && shown !== undefined && shown.size < before.size;
  return {
    alarm: check === 'log-consistency' && shorter ? 'rollback' : (known ?? 'unreachable'),
    ...{ check, reason, detail },
  };
}

const ALARM_OF: Readonly<Record<string, AlarmKind>> = {
  'log-consistency': 'fork',
  'log-root': 'fork',
  'log-tile': 'fork',
  malformed: 'fork',
  'log-signature': 'signature',
  'log-origin': 'signature',
  'log-witnesses': 'witnesses',
};
