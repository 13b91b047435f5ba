import { LIMITS, isJsonObject, parseJsonObject, refuse } from '../base/index.ts';
import type { Fail, JsonObject, JsonValue } from '../base/index.ts';
import { REFERENCES_LIMITS } from '../appraisal/index.ts';
import { readBundle } from './bundle.ts';
import type { PolicyBundle } from './bundle.ts';
import { compilePolicies } from './cedar/compile.ts';
import type { PolicyFile } from './cedar/compile.ts';
import type { CedarLoader } from './cedar/load.ts';
import { lintBundle } from './lint.ts';
import { manifestOf, manifestBytes } from './manifest.ts';
import { parseYaml } from './yaml.ts';

/** The main file of a bundle's directory, and the optional schema. */
export const POLICY_FILE = 'policy.yaml';
export const SCHEMA_FILE = 'schema.cedarschema';

/** A bundle's directory as its caller read it: every regular file by its path inside, with `/`. */
export type PolicySources = ReadonlyMap<string, Uint8Array>;

/** A bundle, and what is probably not meant. */
export interface BuiltBundle {
  readonly bundle: PolicyBundle;
  readonly warnings: readonly string[];
}

/**
 * Builds one canonical JSON from `policy.yaml`, `*.cedar`, `schema.cedarschema` and the files that they name. The same
 * sources give the same bytes; white space, comments and the order of keys and files change nothing.
 * @throws Refusal naming file and line where there is one: `policy-source`, `policy-yaml`, `policy-form`, those of
 *   `compilePolicies` and `readBundle`
 */
export function buildBundle(sources: PolicySources, load: CedarLoader): BuiltBundle {
  const yaml = parseYaml(source(sources, POLICY_FILE, POLICY_FILE), POLICY_FILE, 'policy');
  for (const made of ['v', 'cedar']) {
    if (Object.hasOwn(yaml.value, made))
      refuse('policy-form', `${POLICY_FILE}: ${made} is made by the build`, { file: POLICY_FILE });
  }
  const fail: Fail = (path, want) => {
    const line = yaml.lineOf(path);
    return refuse('policy-form', `${POLICY_FILE}:${String(line)}: ${path} is not ${want}`, {
      file: POLICY_FILE,
      line,
      member: path,
    });
  };
  const schema = sources.get(SCHEMA_FILE);
  const compiled = compilePolicies(
    cedarFiles(sources),
    schema === undefined ? undefined : { name: SCHEMA_FILE, bytes: schema },
    load,
  );
  const json = inline(yaml.value, sources);
  const bundle = readBundle({ ...json, v: 1, cedar: { ...compiled.policies } }, fail);
  // A manifest that no reader accepts would be found out only after everybody signed it.
  if (manifestBytes(manifestOf(bundle)).length > LIMITS.signature / 2)
    refuse('policy-size', 'the artifact trust is too large for a policy manifest');
  return { bundle, warnings: [...compiled.warnings, ...lintBundle(bundle)] };
}

function cedarFiles(sources: PolicySources): PolicyFile[] {
  return [...sources]
    .filter(([name]) => name.endsWith('.cedar'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, bytes]) => ({ name, bytes }));
}

/** Replaces file names by what the files hold: artifact trust, reference values, key sets. */
function inline(value: JsonObject, sources: PolicySources): JsonObject {
  const { platforms, initiators, artifacts } = value;
  const inlined: Record<string, JsonValue> = { ...value };
  if (typeof artifacts === 'string')
    inlined['artifacts'] = document(sources, artifacts, 'policy.artifacts', LIMITS.json);
  if (isJsonObject(platforms)) {
    inlined['platforms'] = Object.fromEntries(
      Object.entries(platforms).map(([name, platform]) => [
        name,
        withFile(platform, 'references', `policy.platforms.${name}`, sources, REFERENCES_LIMITS.maxBytes),
      ]),
    );
  }
  if (Array.isArray(initiators)) {
    inlined['initiators'] = (initiators as readonly JsonValue[]).map((initiator, i) =>
      withFile(initiator, 'jwks', `policy.initiators[${String(i)}]`, sources, LIMITS.json),
    );
  }
  return inlined;
}

function withFile(
  value: JsonValue,
  member: string,
  path: string,
  sources: PolicySources,
  maxBytes: number,
): JsonValue {
  if (!isJsonObject(value)) return value;
  const file = value[member];
  if (typeof file !== 'string') return value;
  return { ...value, [member]: document(sources, file, `${path}.${member}`, maxBytes) };
}

function document(sources: PolicySources, file: string, member: string, maxBytes: number): JsonObject {
  return parseJsonObject(source(sources, file, member), file, { ...REFERENCES_LIMITS, maxBytes });
}

/** Files come from the directory's own list: a name with `..` is in no list. */
function source(sources: PolicySources, file: string, member: string): Uint8Array {
  return (
    sources.get(file) ??
    refuse('policy-source', `${member}: there is no file ${file} in the directory`, { file, member })
  );
}
