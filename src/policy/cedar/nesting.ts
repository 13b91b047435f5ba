import type { JsonValue } from '../../base/index.ts';

/** Bounds on policy text, checked before the engine sees it. */
export const POLICY_LIMITS = {
  /** UTF-8 bytes of one file. */
  fileBytes: 256 * 1024,
  files: 64,
  policies: 1_000,
  /** Open brackets: about 130 overflow the engine's stack and poison it for good. */
  nesting: 64,
  /** Levels of a policy's JSON form; the engine's own reader stops at 128. Chains (`a && b && …`) count as well. */
  jsonDepth: 100,
} as const;

const OPEN = new Set(['(', '[', '{']);
const CLOSE = new Set([')', ']', '}']);

/** Where the brackets of a text first go deeper than `limit` (an offset in UTF-16 units), or undefined. */
export function deepNesting(text: string, limit: number = POLICY_LIMITS.nesting): number | undefined {
  let depth = 0;
  // Strings and comments are skipped whole; an unfinished string is the parser's to refuse.
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\[^])*"?|\/\/[^\n]*|[()[\]{}]/g)) {
    if (OPEN.has(token) && ++depth > limit) return index;
    // Never below zero: closing brackets that opened nothing must not buy depth.
    if (CLOSE.has(token)) depth = Math.max(0, depth - 1);
  }
  return undefined;
}

/** Levels of arrays and objects; a scalar has none. Stops counting at `limit + 1`. */
export function jsonDepth(value: JsonValue, limit: number = POLICY_LIMITS.jsonDepth): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (limit <= 0) return 1;
  let deepest = 0;
  for (const member of Object.values<JsonValue>(value))
    deepest = Math.max(deepest, jsonDepth(member, limit - 1));
  return 1 + deepest;
}

/** True when every number in the value is a safe integer: the engine reads larger ones as other numbers. */
export function onlySafeIntegers(value: JsonValue): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.values<JsonValue>(value).every(onlySafeIntegers);
}

/** Line (from 1) of a byte offset in UTF-8 text. */
export function lineOfByte(bytes: Uint8Array, offset: number): number {
  let line = 1;
  for (let at = 0; at < offset && at < bytes.length; at++) if (bytes[at] === 0x0a) line++;
  return line;
}
