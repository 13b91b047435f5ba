import { notCanonical } from './canonical.ts';
import type { CanonicalReader } from './canonical.ts';
import { isJsonObject } from './json.ts';
import type { JsonValue } from './refusal.ts';

/** How one kind of document says no: `path` is the member, `want` what it should have been. */
export type Fail = (path: string, want: string) => never;

/** Reads canonical JSON of a shape: the value that the shape gives for it, or it throws. */
export type Scan<T> = (reader: CanonicalReader) => T;

/** Turns a received JSON value into a typed one, or fails. Nothing is coerced, nothing has a default. */
export interface Shape<T> {
  (value: JsonValue, path: string, fail: Fail): T;
  /** The same from canonical text without a value in between; see {@link scanOf}. */
  readonly scan?: Scan<T>;
}

/** How a shape is read from canonical text. */
export function scanOf<T>(shape: Shape<T>): Scan<T> {
  return shape.scan ?? ((reader) => shape(reader.value(), '', notCanonical));
}

/** A shape whose value is read from text as what it is: there it has to hold as well. */
function readAs<T>(read: Scan<JsonValue>, shape: Shape<T>): Shape<T> {
  const scan: Scan<T> = (reader) => shape(read(reader), '', notCanonical);
  return Object.assign(shape, { scan });
}

const readText: Scan<string> = (reader) => reader.string();
const readInteger: Scan<number> = (reader) => reader.integer();

type Shapes = Readonly<Record<string, Shape<unknown>>>;
type Shaped<S> = S extends Shape<infer T> ? T : never;
type ObjectOf<R extends Shapes, O extends Shapes> = { readonly [K in keyof R]: Shaped<R[K]> } & {
  readonly [K in keyof O]?: Shaped<O[K]>;
};

/** A text of `min` to `max` UTF-16 units, matching `pattern` where one is given. */
export function text(
  options: { min?: number; max?: number; pattern?: RegExp; want?: string } = {},
): Shape<string> {
  const { min = 1, max = 1024, pattern } = options;
  const want = options.want ?? `a text of ${String(min)} to ${String(max)} characters`;
  return readAs(readText, (value, path, fail) => {
    if (typeof value !== 'string' || value.length < min || value.length > max) return fail(path, want);
    return pattern === undefined || pattern.test(value) ? value : fail(path, want);
  });
}

/** An integer from `min` to `max`. */
export function integer(min = 0, max = Number.MAX_SAFE_INTEGER): Shape<number> {
  return readAs(readInteger, (value, path, fail) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max)
      return value;
    return fail(path, `an integer from ${String(min)} to ${String(max)}`);
  });
}

export const boolean: Shape<boolean> = (value, path, fail) =>
  typeof value === 'boolean' ? value : fail(path, 'true or false');

/** One of the given texts. */
export function oneOf<const T extends string>(...allowed: readonly T[]): Shape<T> {
  return readAs(
    readText,
    (value, path, fail) => allowed.find((one) => one === value) ?? fail(path, `one of ${allowed.join(', ')}`),
  );
}

/** Exactly this number: a version. */
export function literal<const T extends number>(only: T): Shape<T> {
  return readAs(readInteger, (value, path, fail) => (value === only ? only : fail(path, String(only))));
}

/** Null, or the shape. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  const scan = scanOf(shape);
  return Object.assign(
    (value: JsonValue, path: string, fail: Fail) => (value === null ? null : shape(value, path, fail)),
    { scan: (reader: CanonicalReader) => (reader.take('null') ? null : scan(reader)) },
  );
}

/** A list of `min` to `max` items. */
export function list<T>(item: Shape<T>, max: number, min = 0): Shape<readonly T[]> {
  const scanItem = scanOf(item);
  const scan: Scan<readonly T[]> = (reader) => {
    const out: T[] = [];
    reader.items(max, () => out.push(scanItem(reader)));
    return out.length < min ? notCanonical() : out;
  };
  const check: Shape<readonly T[]> = (value, path, fail) => {
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      return fail(path, `a list of ${String(min)} to ${String(max)} items`);
    }
    return (value as readonly JsonValue[]).map((entry, i) => item(entry, `${path}[${String(i)}]`, fail));
  };
  return Object.assign(check, { scan });
}

/** A list of texts without repetition: what is compared as a set. */
export function set<T extends string>(item: Shape<T>, max: number, min = 0): Shape<readonly T[]> {
  const items = list(item, max, min);
  const scanItems = scanOf(items);
  const unique = (out: readonly T[], path: string, fail: Fail): readonly T[] =>
    new Set(out).size === out.length ? out : fail(path, 'without repetition');
  return Object.assign(
    (value: JsonValue, path: string, fail: Fail) => unique(items(value, path, fail), path, fail),
    { scan: (reader: CanonicalReader) => unique(scanItems(reader), '', notCanonical) },
  );
}

/** An object of at most `max` members whose names match; for maps, not for records. */
export function map<T>(name: RegExp, member: Shape<T>, max: number): Shape<Readonly<Record<string, T>>> {
  return (value, path, fail) => {
    if (!isJsonObject(value)) return fail(path, 'an object');
    const entries = Object.entries(value);
    if (entries.length > max) return fail(path, `an object of at most ${String(max)} members`);
    return Object.fromEntries(
      entries.map(([key, entry]) => [
        name.test(key) ? key : fail(`${path}.${key}`, 'a known name'),
        member(entry, `${path}.${key}`, fail),
      ]),
    );
  };
}

/** A closed object: every required member, no unknown one. */
// eslint-disable-next-line @typescript-eslint/no-generated-empty-object-type -- by default there are no optional members
export function object<R extends Shapes, O extends Shapes = Record<never, never>>(
  required: R,
  optional?: O,
): Shape<ObjectOf<R, O>> {
  const shapes = new Map<string, Shape<unknown>>(Object.entries({ ...required, ...optional }));
  return closedObject(shapes, Object.keys(required));
}

/** Members of the object shapes, and which of them are required. */
const MEMBERS = new WeakMap<
  Shape<never>,
  readonly [ReadonlyMap<string, Shape<unknown>>, readonly string[]]
>();

/** An object with the members of two objects. */
export function joined<A, B>(one: Shape<A>, other: Shape<B>): Shape<A & B> {
  const [a, b] = [one, other].map((shape) => MEMBERS.get(shape as Shape<never>));
  if (a === undefined || b === undefined) throw new TypeError('only closed objects have members');
  return closedObject(new Map([...a[0], ...b[0]]), [...a[1], ...b[1]]);
}

/** @typeParam T what the shapes of the members make together: who calls it knows them */
function closedObject<T>(shapes: ReadonlyMap<string, Shape<unknown>>, names: readonly string[]): Shape<T> {
  const check: Shape<T> = (value, path, fail) => {
    if (!isJsonObject(value)) return fail(path, 'an object');
    for (const name of names) if (!Object.hasOwn(value, name)) return fail(`${path}.${name}`, 'present');
    // Copied at once and written only where a shape gives another value than it got: few do.
    const members: Record<string, unknown> = { ...value };
    for (const name of Object.keys(value)) {
      const place = `${path}.${name}`;
      const shape = shapes.get(name) ?? fail(place, 'a known member');
      const member = value[name] as JsonValue;
      const read = shape(member, place, fail);
      if (read !== member) members[name] = read;
    }
    // Each member went through the shape that the type names.
    return members as T;
  };
  const made = Object.assign(check, { scan: scanMembers(shapes, names) as Scan<T> });
  MEMBERS.set(made as Shape<never>, [shapes, names]);
  return made;
}

/** Members in the one order that canonical text has. */

function scanMembers(
  shapes: ReadonlyMap<string, Shape<unknown>>,
  required: readonly string[],
): Scan<unknown> {
  const members = [...shapes.keys()].sort().map((name) => ({
    ...{ name, first: `${JSON.stringify(name)}:`, next: `,${JSON.stringify(name)}:` },
    ...{ scan: scanOf(shapes.get(name) ?? notCanonical), required: required.includes(name) },
  }));
  return (reader) => {
    const out: Record<string, unknown> = {};
    let isFirst = true;
    reader.open('{');
    for (const { name, first, next, scan, required: needed } of members) {
      if (reader.take(isFirst ? first : next)) {
        out[name] = scan(reader);
        isFirst = false;
      } else if (needed) notCanonical();
    }
    reader.close('}');
    return out;
  };
}

/** `sha256:` and 64 lowercase hex digits. */
export const sha256Text = text({ pattern: /^sha256:[0-9a-f]{64}$/, want: 'sha256: and 64 hex digits' });
/** 64 lowercase hex digits. */
export const hex32 = text({ pattern: /^[0-9a-f]{64}$/, want: '64 hex digits' });
/** An unsigned 64-bit number as decimal text. */
export const decimal = text({ pattern: /^(?:0|[1-9][0-9]{0,19})$/, want: 'a decimal number' });
/** base64url without padding, up to `max` characters; decode it with `fromBase64url`, which is strict. */
export const base64url = (max: number, min = 1): Shape<string> =>
  text({ min, max, pattern: /^[A-Za-z0-9_-]*$/, want: `base64url of at most ${String(max)} characters` });
