import type { Static, TSchema } from 'typebox';
import { parseDocument } from 'yaml';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { fromUtf8, isJsonObject, refuse } from '../base/index.ts';
import { schemaProblems } from './check-schema.ts';
import { configKeys, memberAt, withMember } from './keys.ts';
import type { ConfigKey } from './keys.ts';

/** Bytes of a configuration file. */
export const MAX_CONFIG = 256 * 1024;

/** Variables of the environment, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where a key's value comes from. */
export type ConfigSource = 'default' | 'file' | 'environment';

/** A configuration that holds to its schema, and where each key's value comes from. */
export interface LoadedConfig<T> {
  readonly config: T;
  readonly sources: ReadonlyMap<ConfigKey, ConfigSource>;
}

/**
 * Reads a configuration: defaults, then the file, then the environment. Strict YAML 1.2: no duplicate keys, no anchors,
 * no tags; a key that the schema doesn't have, or a value of another type, is refused.
 * @throws Refusal `config-form`
 */
export function readConfig<S extends TSchema>(
  schema: S,
  bytes: Uint8Array,
  environment: Environment = {},
): LoadedConfig<Static<S>> {
  const given = parseYaml(bytes);
  const sources = new Map<ConfigKey, ConfigSource>();
  let config: JsonObject = given;
  for (const key of configKeys(schema)) {
    const override = environment[key.variable];
    const inFile = memberAt(given, key.path) !== undefined;
    sources.set(key, override !== undefined ? 'environment' : inFile ? 'file' : 'default');
    if (override !== undefined) config = withMember(config, key.path, fromVariable(key, override));
    else if (!inFile) config = withDefault(config, key);
  }
  checkConfig(schema, config);
  return { config, sources };
}

/** @throws Refusal `config-form` with the first key that doesn't hold, all of them in the detail */
function checkConfig<S extends TSchema>(
  schema: S,
  config: JsonValue,
): asserts config is Static<S> & JsonValue {
  // A TypeBox schema is the JSON Schema itself; its type just has no index signature.
  const problems = schemaProblems(schema as unknown as JsonObject, config);
  if (problems.length === 0) return;
  refuse('config-form', problems[0] ?? '', { problems: [...problems] });
}

function parseYaml(bytes: Uint8Array): JsonObject {
  if (bytes.length > MAX_CONFIG)
    refuse('config-form', `the file is over ${String(MAX_CONFIG)} bytes`, { bytes: bytes.length });
  const document = parseDocument(fromUtf8(bytes, 'configuration'), {
    uniqueKeys: true,
    schema: 'core',
    strict: true,
    stringKeys: true,
  });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined)
    refuse('config-form', `not YAML: ${problem.message.split('\n')[0] ?? ''}`, { offset: problem.pos[0] });
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 });
  } catch {
    refuse('config-form', 'aliases are not read: write the value where it belongs');
  }
  // An empty file, or one of comments only, is a configuration of defaults.
  if (value === null || value === undefined) return {};
  // The core schema makes JSON values only; a scalar or list at the top is not a configuration.
  const json = value as JsonValue;
  return isJsonObject(json) ? json : refuse('config-form', 'the file is not a mapping of keys');
}

/** A section that is something else than a mapping stays as it is, so that the schema refuses it. */
function withDefault(config: JsonObject, key: ConfigKey): JsonObject {
  const outer = memberAt(config, key.path.slice(0, -1));
  return outer !== undefined && !isJsonObject(outer) ? config : withMember(config, key.path, key.default);
}

/** The text of a variable as the type that its key has; a text that can't be one stays, and the schema refuses it. */
function fromVariable({ schema }: ConfigKey, text: string): JsonValue {
  switch (schema['type']) {
    case 'integer':
      return /^(?:0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    default:
      return text;
  }
}
