import { UPDATED_LISTS } from './references.ts';
import type { AllowedDigest, EventLogReferences, ReferenceUpdate, ReferenceValues } from './references.ts';

const isOpen = ({ notBefore, notAfter }: ReferenceUpdate, now: number): boolean =>
  Date.parse(notBefore) <= now && now <= Date.parse(notAfter);

/**
 * Which updates are open, as a name: references with the same name are the same.
 * @param now Unix ms
 */
export function openUpdates({ updates = [] }: ReferenceValues, now: number): string {
  return updates.flatMap((update) => (isOpen(update, now) ? [update.name] : [])).join('\n');
}

/** Moments of which each has the updates of its time, and every combination that there will ever be is among them. */
export function updateMoments({ updates = [] }: ReferenceValues): readonly number[] {
  const edges = updates.flatMap(({ notBefore, notAfter }) => [
    Date.parse(notBefore),
    Date.parse(notAfter),
    // Both ends belong to a window.
    Date.parse(notAfter) + 1,
  ]);
  return [0, ...new Set(edges)];
}

/**
 * Reference values as they are at a time: the ordinary ones, and those of every update whose window is open (old ∪ new).
 * An update adds digests to what is asked for; it never makes a check of something that none was of, nor takes one away.
 * @param now Unix ms
 */
export function referencesAt(references: ReferenceValues, now: number): ReferenceValues {
  const open = (references.updates ?? []).filter((update) => isOpen(update, now));
  return open.reduce(withUpdate, references);
}

function withUpdate(references: ReferenceValues, update: ReferenceUpdate): ReferenceValues {
  const { pcrs, eventLog, ima } = references;
  return {
    ...references,
    ...(pcrs === undefined ? {} : { pcrs: pcrs.map((set) => withValues(set, update.pcrs?.[set.name])) }),
    ...(eventLog === undefined ? {} : { eventLog: withLists(eventLog, update) }),
    ...(ima === undefined
      ? {}
      : { ima: { ...ima, rules: { ...ima.rules, files: unionByName(ima.rules.files, update.files) } } }),
  };
}

type PcrSet = NonNullable<ReferenceValues['pcrs']>[number];

/** A PCR that the set doesn't pin stays unpinned: its update would be a new check. */
function withValues(set: PcrSet, added: PcrSet['values'] = {}): PcrSet {
  const values = Object.entries(set.values).map(([pcr, list]) => [pcr, union(list, added[pcr])] as const);
  return { ...set, values: Object.fromEntries(values) };
}

function withLists(eventLog: EventLogReferences, update: ReferenceUpdate): EventLogReferences {
  const lists = UPDATED_LISTS.flatMap((name) => {
    const before = eventLog[name];
    return before === undefined ? [] : [[name, unionOf(before, update.eventLog?.[name])] as const];
  });
  const { commandLine } = eventLog;
  return {
    ...eventLog,
    ...Object.fromEntries(lists),
    ...(commandLine === undefined
      ? {}
      : { commandLine: { ...commandLine, lines: union(commandLine.lines, update.commandLines) } }),
  };
}

const union = (one: readonly string[], other: readonly string[] = []): readonly string[] => [
  ...new Set([...one, ...other]),
];
const unionOf = (
  one: readonly AllowedDigest[],
  other: readonly AllowedDigest[] = [],
): readonly AllowedDigest[] => [...one, ...other];

function unionByName(
  one: Readonly<Record<string, readonly string[]>>,
  other: Readonly<Record<string, readonly string[]>> = {},
): Readonly<Record<string, readonly string[]>> {
  const merged = Object.entries(other).map(
    ([path, digests]) => [path, union(Object.hasOwn(one, path) ? (one[path] ?? []) : [], digests)] as const,
  );
  return { ...one, ...Object.fromEntries(merged) };
}
