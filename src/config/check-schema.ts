import { isJsonObject } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';

/** What does not hold, and where: `listen.port must be integer`. */
export type SchemaProblem = string;

type Check = (value: JsonValue, limit: JsonValue, schema: JsonObject, at: string) => readonly SchemaProblem[];

/**
 * Holds a value against a JSON Schema of the few words that schemas of configurations use. Whether a value holds is what TypeBox
 * says of it (`test/config/check-schema.test.ts`), which is too large to be loaded for that.
 * @param at the value's name; empty at the top
 * @returns every problem, none when it holds
 * @throws TypeError for a schema with another word: nothing is let through that was not looked at
 */
export function schemaProblems(schema: JsonObject, value: JsonValue, at = ''): readonly SchemaProblem[] {
  return Object.entries(schema).flatMap(([word, limit]) => {
    const check = CHECKS.get(word);
    if (check === undefined) throw new TypeError(`a configuration's schema can't say ${word}`);
    return check(value, limit, schema, at);
  });
}

const named = (at: string): string => (at === '' ? 'the file' : at);
const below = (at: string, name: string): string => (at === '' ? name : `${at}.${name}`);
const unless = (holds: boolean, at: string, want: string): readonly SchemaProblem[] =>
  holds ? [] : [`${named(at)} must ${want}`];
const says = () => [];

const TYPES: ReadonlyMap<JsonValue, (value: JsonValue) => boolean> = new Map<
  JsonValue,
  (value: JsonValue) => boolean
>([
  ['object', isJsonObject],
  ['string', (value) => typeof value === 'string'],
  ['boolean', (value) => typeof value === 'boolean'],
  ['integer', (value) => Number.isInteger(value)],
]);

const CHECKS: ReadonlyMap<string, Check> = new Map<string, Check>([
  ['description', says],
  ['default', says],
  ['type', checkType],
  ['const', (value, limit, _schema, at) => unless(value === limit, at, `be ${JSON.stringify(limit)}`)],
  ['anyOf', checkAnyOf],
  ['pattern', checkPattern],
  [
    'minLength',
    ofText((length, limit) => length >= limit || `not have fewer than ${String(limit)} characters`),
  ],
  [
    'maxLength',
    ofText((length, limit) => length <= limit || `not have more than ${String(limit)} characters`),
  ],
  ['minimum', ofNumber((value, limit) => value >= limit || `be >= ${String(limit)}`)],
  ['maximum', ofNumber((value, limit) => value <= limit || `be <= ${String(limit)}`)],
  ['required', checkRequired],
  ['properties', checkProperties],
  ['additionalProperties', checkClosed],
]);

function checkType(
  value: JsonValue,
  limit: JsonValue,
  _schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  const is = TYPES.get(limit) ?? unknown('type', limit);
  return unless(is(value), at, `be ${textOf(limit)}`);
}

function checkAnyOf(
  value: JsonValue,
  limit: JsonValue,
  _schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  const holds = listOf(limit).some((one) => schemaProblems(objectOf(one), value, at).length === 0);
  return unless(holds, at, 'match a schema in anyOf');
}

function checkPattern(
  value: JsonValue,
  limit: JsonValue,
  _schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  // What is no text is judged by its type alone; the same holds of the words below.
  if (typeof value !== 'string') return [];
  const pattern = textOf(limit);
  return unless(new RegExp(pattern, 'u').test(value), at, `match pattern "${pattern}"`);
}

function checkRequired(
  value: JsonValue,
  limit: JsonValue,
  _schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  if (!isJsonObject(value)) return [];
  return listOf(limit).flatMap((name) =>
    unless(Object.hasOwn(value, textOf(name)), below(at, textOf(name)), 'be there'),
  );
}

function checkProperties(
  value: JsonValue,
  limit: JsonValue,
  _schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  if (!isJsonObject(value)) return [];
  return Object.entries(objectOf(limit)).flatMap(([name, schema]) => {
    const member = Object.hasOwn(value, name) ? value[name] : undefined;
    return member === undefined ? [] : schemaProblems(objectOf(schema), member, below(at, name));
  });
}

function checkClosed(
  value: JsonValue,
  limit: JsonValue,
  schema: JsonObject,
  at: string,
): readonly SchemaProblem[] {
  if (limit !== false) unknown('additionalProperties', limit);
  if (!isJsonObject(value)) return [];
  const properties = objectOf(schema['properties'] ?? {});
  const others = Object.keys(value).filter((name) => !Object.hasOwn(properties, name));
  return others.map((name) => `${below(at, name)} is not a key`);
}

/** A bound on the number of a text's characters (code points). */
function ofText(holds: (length: number, limit: number) => true | string): Check {
  return (value, limit, _schema, at) =>
    typeof value === 'string' ? said(holds(Array.from(value).length, numberOf(limit)), at) : [];
}

function ofNumber(holds: (value: number, limit: number) => true | string): Check {
  return (value, limit, _schema, at) =>
    typeof value === 'number' ? said(holds(value, numberOf(limit)), at) : [];
}

const said = (holds: true | string, at: string): readonly SchemaProblem[] =>
  holds === true ? [] : unless(false, at, holds);

// What the schema itself says is a constant of this program: anything else is its fault.
const unknown = (word: string, limit: JsonValue): never => {
  throw new TypeError(`a configuration's schema can't say ${word} ${JSON.stringify(limit)}`);
};
const textOf = (limit: JsonValue): string => (typeof limit === 'string' ? limit : unknown('text', limit));
const numberOf = (limit: JsonValue): number => (typeof limit === 'number' ? limit : unknown('number', limit));
const objectOf = (limit: JsonValue): JsonObject => (isJsonObject(limit) ? limit : unknown('schema', limit));
const listOf = (limit: JsonValue): readonly JsonValue[] =>
  Array.isArray(limit) ? (limit as readonly JsonValue[]) : unknown('list', limit);
