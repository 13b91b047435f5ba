import { createHash } from 'node:crypto';
import { utf8 } from './bytes.ts';
import type { JsonObject, JsonValue } from './refusal.ts';

/**
 * The canonical text of a JSON value (RFC 8785): no white space, members sorted by UTF-16 code units, ECMAScript
 * numbers.
 * @throws TypeError on values that have no canonical form (NaN, infinities, lone surrogates, undefined)
 */
export function canonicalJson(value: JsonValue): string {
  if (typeof value === 'string') return canonicalText(value);
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value)
      ? canonicalArray(value as readonly JsonValue[])
      : canonicalObject(value as JsonObject);
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError('JCS: number is not finite');
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError('JCS: not a JSON value');
  return text;
}

/** SHA-256 over the UTF-8 of {@link canonicalJson}: 32 bytes. */
export function jcsSha256(value: JsonValue): Uint8Array {
  return new Uint8Array(
    createHash('sha256')
      .update(utf8(canonicalJson(value)))
      .digest(),
  );
}

function canonicalArray(items: readonly JsonValue[]): string {
  let text = '';
  for (const item of items) text += `${text === '' ? '' : ','}${canonicalJson(item)}`;
  return `[${text}]`;
}

function canonicalObject(value: JsonObject): string {
  let text = '';
  for (const name of sortedNames(value)) {
    const member = value[name];
    if (member === undefined) throw new TypeError('JCS: not a JSON value');
    text += `${text === '' ? '' : ','}${canonicalText(name)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

/** Names by UTF-16 code units (RFC 8785 §3.2.3), as the default sort and `<` compare them. */
function sortedNames(value: JsonObject): readonly string[] {
  const names = Object.keys(value);
  let last = '';
  for (const name of names) {
    // Most are sorted as they come: what was parsed from canonical text is.
    if (name < last) return names.sort();
    last = name;
  }
  return names;
}

/** What is written as it is; most texts are, and finding that out takes a third of escaping them. */
const PLAIN = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function canonicalText(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new TypeError('JCS: lone surrogate');
  return JSON.stringify(text);
}
