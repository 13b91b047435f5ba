import type { TSchema } from 'typebox';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { isJsonObject } from '../base/index.ts';

/** One key of a configuration, as the schema describes it. */
export interface ConfigKey {
  /** From the top: `['listen', 'port']`. */
  readonly path: readonly string[];
  readonly schema: JsonObject;
  readonly default: JsonValue;
  readonly description: string;
  /** Its environment variable: `SEALGATE_LISTEN_PORT`. */
  readonly variable: string;
}

/** A section of a configuration: what it is for. */
export interface ConfigSection {
  readonly path: readonly string[];
  readonly description: string;
}

/** Every key of a schema, sections flattened, in order. */
export function configKeys(schema: TSchema): readonly ConfigKey[] {
  return walk(asJson(schema), []).flatMap((found) => ('variable' in found ? [found] : []));
}

/** Every section of a schema that has a name. */
export function configSections(schema: TSchema): readonly ConfigSection[] {
  return walk(asJson(schema), []).filter((found) => !('variable' in found) && found.path.length > 0);
}

/** `requestsPerMinute` in section `limits` is SEALGATE_LIMITS_REQUESTS_PER_MINUTE. */
export function variableOf(path: readonly string[]): string {
  const words = path.map((name) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase());
  return ['SEALGATE', ...words].join('_');
}

/** Reads a member along a path; undefined where it isn't. */
export function memberAt(value: JsonValue | undefined, path: readonly string[]): JsonValue | undefined {
  return path.reduce<JsonValue | undefined>(
    (at, name) => (isJsonObject(at) && Object.hasOwn(at, name) ? at[name] : undefined),
    value,
  );
}

/** A copy with one member replaced; sections that are not there are made. */
export function withMember(object: JsonObject, path: readonly string[], value: JsonValue): JsonObject {
  const [name, ...rest] = path;
  if (name === undefined) return object;
  const inner = object[name];
  return {
    ...object,
    [name]: rest.length === 0 ? value : withMember(isJsonObject(inner) ? inner : {}, rest, value),
  };
}

function walk(schema: JsonObject, path: readonly string[]): readonly (ConfigKey | ConfigSection)[] {
  const description = typeof schema['description'] === 'string' ? schema['description'] : '';
  const { properties } = schema;
  if (isJsonObject(properties)) {
    const inner = Object.entries(properties).flatMap(([name, member]) =>
      isJsonObject(member) ? walk(member, [...path, name]) : [],
    );
    return [{ path, description }, ...inner];
  }
  return [{ path, schema, default: schema['default'] ?? null, description, variable: variableOf(path) }];
}

/** A TypeBox schema is the JSON Schema itself; its type just has no index signature. */
const asJson = (schema: TSchema): JsonObject => schema as unknown as JsonObject;
