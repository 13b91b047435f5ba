import type { Shape } from '../base/index.ts';

/** RFC 3339 in UTC to Unix milliseconds; undefined for any other text and for days that don't exist. */
export function parseTime(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?Z$/.test(text)) return undefined;
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 19) !== text.slice(0, 19) ? undefined : ms;
}

/** Unix milliseconds as RFC 3339 in UTC, whole seconds without a fraction. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

/** A time in a document. */
export const time: Shape<number> = (value, path, fail) =>
  (typeof value === 'string' ? parseTime(value) : undefined) ??
  fail(path, 'a time like 2026-11-22T20:00:00Z');
