import { canonicalJson, isJsonObject } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import type { PolicyBundle } from './bundle.ts';

/** One difference between two bundles; `before` or `after` is undefined where the member isn't there. */
export interface PolicyChange {
  readonly kind: 'added' | 'removed' | 'changed';
  /** `platforms.server.runtime`, or `cedar.ID` for a policy. */
  readonly path: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

/** Lists are compared as sets of items: their order says nothing in a bundle, except where items are objects. */
const MAX_CHANGES = 10_000;

/** What changed from one bundle to another, in the order of paths. Policies are compared by id. */
export function diffBundles(before: PolicyBundle, after: PolicyBundle): readonly PolicyChange[] {
  const changes: PolicyChange[] = [];
  compare(byId(before), byId(after), '', changes);
  return changes.slice(0, MAX_CHANGES).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The bundle with its policies as a map: a policy that moved didn't change. */
function byId({ json, document }: PolicyBundle): JsonObject {
  const policies = Object.fromEntries(document.cedar.policies.map(({ id, policy }) => [id, policy]));
  return { ...json, cedar: policies, cedarSchema: document.cedar.schema };
}

function compare(
  before: JsonValue | undefined,
  after: JsonValue | undefined,
  path: string,
  out: PolicyChange[],
): void {
  if (before !== undefined && after !== undefined) {
    if (canonicalJson(before) === canonicalJson(after)) return;
    // A policy is shown whole: a change inside its tree explains nothing.
    if (isJsonObject(before) && isJsonObject(after) && !/^cedar(?:Schema|\.)/.test(path)) {
      const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
      for (const name of names)
        compare(own(before, name), own(after, name), path === '' ? name : `${path}.${name}`, out);
      return;
    }
    if (isTextList(before) && isTextList(after)) compareSets(before, after, path, out);
    else out.push({ kind: 'changed', path, before, after });
    return;
  }
  if (after !== undefined) out.push({ kind: 'added', path, after });
  else if (before !== undefined) out.push({ kind: 'removed', path, before });
}

function compareSets(
  before: readonly string[],
  after: readonly string[],
  path: string,
  out: PolicyChange[],
): void {
  const removed = before.filter((item) => !after.includes(item));
  const added = after.filter((item) => !before.includes(item));
  for (const item of removed) out.push({ kind: 'removed', path: `${path}[]`, before: item });
  for (const item of added) out.push({ kind: 'added', path: `${path}[]`, after: item });
  if (removed.length + added.length === 0) out.push({ kind: 'changed', path, before, after });
}

function own(value: JsonObject, name: string): JsonValue | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined;
}

function isTextList(value: JsonValue): value is readonly string[] {
  return Array.isArray(value) && (value as readonly JsonValue[]).every((item) => typeof item === 'string');
}
