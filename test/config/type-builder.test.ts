import TypeBox from 'typebox';
import Value from 'typebox/value';
import { describe, expect, it } from 'vitest';
import type { JsonObject, JsonValue } from '../../src/base/index.ts';
import { isJsonObject } from '../../src/base/index.ts';
import { AGENT_SCHEMA, PROFILE_SCHEMA, Type, VERIFIER_SCHEMA } from '../../src/config/index.ts';
import { schemaProblems } from '../../src/config/check-schema.ts';

type Builder = typeof Type;
const closed = { additionalProperties: false, description: 'closed' } as const;

/** One schema of each kind that the product makes, by either library. */
const SCHEMAS: readonly (readonly [string, (of: Builder) => unknown])[] = [
  ['a text', (of) => of.String()],
  ['a bounded text', (of) => of.String({ minLength: 1, maxLength: 3, pattern: '^a', description: 'x' })],
  ['a whole number', (of) => of.Integer({ minimum: 0, maximum: 9, default: 3 })],
  ['a yes or no', (of) => of.Boolean({ default: true })],
  ['nothing', (of) => of.Null()],
  ['a word', (of) => of.Literal('a')],
  ['a number', (of) => of.Literal(1)],
  ['one of words', (of) => of.Enum(['a', 'b'])],
  ['one of schemas', (of) => of.Union([of.Literal('a'), of.Null()], { default: 'a' })],
  ['a list', (of) => of.Array(of.String(), { maxItems: 8 })],
  [
    'a table',
    (of) => of.Record(of.String({ pattern: '^[a-z]$' }), of.Integer(), { additionalProperties: false }),
  ],
  ['an object', (of) => of.Object({ a: of.String(), b: of.Optional(of.Array(of.Integer())) }, closed)],
  ['an object that may be empty', (of) => of.Object({ b: of.Optional(of.Null()) }, closed)],
  ['objects in objects', (of) => of.Object({ a: of.Object({ b: of.Boolean() }, closed) })],
];

describe('a schema of our own builder', () => {
  it.each(SCHEMAS)('is the one that TypeBox makes: %s', (_name, make) => {
    expect(JSON.stringify(make(Type))).toBe(JSON.stringify(make(TypeBox)));
  });

  it('is required where it is used as such, whatever it is elsewhere', () => {
    const text = Type.String();
    Type.Object({ text: Type.Optional(text) });
    expect(Type.Object({ text })).toMatchObject({ required: ['text'] });
  });

  it('of a record needs a pattern', () => {
    expect(() => Type.Record(Type.String(), Type.Null())).toThrow(TypeError);
  });
});

/** Values that a key may be set to, right and wrong ones. */
const VALUES: readonly JsonValue[] = [
  null,
  true,
  0,
  1,
  -1,
  1.5,
  8443,
  65_536,
  1e300,
  '',
  'a',
  'A b',
  '1',
  'a'.repeat(300),
  'a'.repeat(5000),
  '😀',
  'https://localhost:8443',
  'sha256:0,1',
  'auditors',
  'L-1',
  'info',
  '0'.repeat(64),
  [],
  ['a'],
  {},
  { a: 1 },
];

const asJson = (schema: unknown): JsonObject => {
  if (!isJsonObject(schema as JsonValue)) throw new TypeError('no schema');
  return schema as JsonObject;
};

/** The configuration of defaults, and copies with one member replaced, added or taken away, at every level. */
function* variants(schema: JsonObject): Generator<JsonValue> {
  const { properties } = schema;
  if (!isJsonObject(properties)) {
    yield* VALUES;
    return;
  }
  const whole = defaults(schema);
  yield* [whole, ...VALUES];
  for (const [name, member] of Object.entries(properties)) {
    for (const value of variants(asJson(member))) yield { ...whole, [name]: value };
    yield Object.fromEntries(Object.entries(whole).filter(([other]) => other !== name));
  }
  for (const name of ['other', 'constructor', '__proto__', ''])
    yield JSON.parse(`{${JSON.stringify(name)}:1,${JSON.stringify(whole).slice(1)}`) as JsonValue;
}

function defaults(schema: JsonObject): JsonObject {
  const members = Object.entries(asJson(schema['properties']));
  return Object.fromEntries(
    members.map(([name, member]) => {
      const inner = asJson(member);
      return [name, isJsonObject(inner['properties']) ? defaults(inner) : (inner['default'] ?? '')];
    }),
  );
}

describe('a configuration', () => {
  it.each([
    ['a verifier', VERIFIER_SCHEMA],
    ['an agent', AGENT_SCHEMA],
    ['a profile', PROFILE_SCHEMA],
  ])('of %s holds exactly where TypeBox says so', (_name, schema) => {
    let held = 0;
    let refused = 0;
    for (const value of variants(asJson(schema))) {
      const expected = Value.Check(schema, value);
      expect(schemaProblems(asJson(schema), value).length === 0, JSON.stringify(value).slice(0, 200)).toBe(
        expected,
      );
      if (expected) held++;
      else refused++;
    }
    expect(held).toBeGreaterThan(1);
    expect(refused).toBeGreaterThan(50);
  });

  it.each<[string, JsonObject]>([
    ['a word that is not known', { format: 'uri' }],
    ['another type', { type: 'array' }],
    ['open objects', { type: 'object', properties: {}, additionalProperties: true }],
    ['a bound that is none', { minimum: 'x' }],
    ['a pattern that is none', { pattern: 1 }],
    ['a list that is none', { required: 'a' }],
    ['a schema that is none', { anyOf: [1] }],
  ])('is not judged by a schema with %s', (_name, schema) => {
    const value = Object.hasOwn(schema, 'minimum') ? 1 : Object.hasOwn(schema, 'pattern') ? 'a' : {};
    expect(() => schemaProblems(schema, value)).toThrow(TypeError);
  });
});
