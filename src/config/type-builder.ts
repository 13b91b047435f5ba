import type * as TypeBox from 'typebox';

type Builders = Pick<
  typeof TypeBox,
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Literal'
  | 'Null'
  | 'Object'
  | 'Optional'
  | 'Record'
  | 'String'
  | 'Union'
>;

type Json = Readonly<Record<string, unknown>>;

/** Which schemas are members that may be missing: a mark that JSON Schema has no word for in the member itself. */
const optional = new WeakSet<Json>();

/**
 * JSON Schemas as TypeBox writes them, with its types, from eleven of its functions. TypeBox itself is nearly seven
 * hundred files, a third of everything that a verifier or an agent would load before it can do anything. The same
 * schemas come from both (`test/config/type-builder.test.ts`).
 */
export const Type = {
  Array: (items: Json, options?: Json) => ({ type: 'array', items, ...options }),
  Boolean: (options?: Json) => ({ type: 'boolean', ...options }),
  Enum: (values: readonly string[], options?: Json) => ({ enum: values, ...options }),
  Integer: (options?: Json) => ({ type: 'integer', ...options }),
  Literal: (value: string | number | boolean, options?: Json) => ({
    type: typeof value,
    const: value,
    ...options,
  }),
  Null: (options?: Json) => ({ type: 'null', ...options }),
  Object: (properties: Readonly<Record<string, Json>>, options?: Json) => {
    const required = Object.keys(properties).filter((name) => !optional.has(properties[name] ?? {}));
    return { type: 'object', ...(required.length > 0 && { required }), properties, ...options };
  },
  Optional: (schema: Json) => {
    // A copy: the same schema may be required elsewhere.
    const copy = { ...schema };
    optional.add(copy);
    return copy;
  },
  Record: (key: Json, value: Json, options?: Json) => ({
    type: 'object',
    patternProperties: { [patternOf(key)]: value },
    ...options,
  }),
  String: (options?: Json) => ({ type: 'string', ...options }),
  Union: (anyOf: readonly Json[], options?: Json) => ({ anyOf, ...options }),
  // TypeBox's types follow from its own functions; a test holds what these make against what those do.
} as unknown as Builders;

function patternOf({ pattern }: Json): string {
  if (typeof pattern !== 'string') throw new TypeError('the keys of a record need a pattern');
  return pattern;
}
