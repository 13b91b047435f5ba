import type { AuditLeaf } from '../../audit/index.ts';
import { isJsonObject } from '../../base/index.ts';
import type { JsonValue } from '../../base/index.ts';
import { UsageError } from '../errors.ts';

/** Whether an entry is one of those that a filter means. */
export interface EntryFilter {
  /** As it was written. */
  readonly text: string;
  matches(leaf: AuditLeaf): boolean;
}

interface Term {
  readonly path: readonly string[];
  readonly equal: boolean;
  readonly value: string;
}

const TERM = /^(?<path>[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)*)(?<sign>!?=)(?<value>.*)$/;

/**
 * Reads a filter: `MEMBER=VALUE` terms with commas between, all of which must hold; `!=` is the opposite. Members are those
 * of the entry (`kind`, `action`, `denial.check`, `by.kind`); an entry without the member has no value at all. Several
 * filters mean any of them.
 * @throws UsageError
 */
export function parseEntryFilter(text: string): EntryFilter {
  const terms = text.split(',').map((term): Term => {
    const { path, sign, value } = TERM.exec(term)?.groups ?? {};
    if (path === undefined || value === undefined)
      throw new UsageError(`not a filter like kind=operator,action=secret-put: ${text}`);
    return { path: path.split('.'), equal: sign === '=', value };
  });
  return {
    text,
    matches: (leaf) => terms.every(({ path, equal, value }) => (valueAt(leaf, path) === value) === equal),
  };
}

/** Texts, numbers and booleans as text; undefined for everything else. */
function valueAt(leaf: AuditLeaf, path: readonly string[]): string | undefined {
  // A leaf consists of JSON values; interfaces just have no index signature.
  let at: JsonValue | undefined = leaf as unknown as JsonValue;
  for (const name of path) at = isJsonObject(at) && Object.hasOwn(at, name) ? at[name] : undefined;
  return typeof at === 'string' || typeof at === 'number' || typeof at === 'boolean' ? String(at) : undefined;
}
