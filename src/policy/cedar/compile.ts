import type { PolicyJson, SchemaJson, ValidationError } from '@cedar-policy/cedar-wasm/nodejs';
import { Refusal, equalBytes, fromUtf8, refuse, utf8 } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { callEngine } from './engine-call.ts';
import type { CedarLoader, CedarModule } from './load.ts';
import { POLICY_LIMITS, deepNesting, jsonDepth, lineOfByte, onlySafeIntegers } from './nesting.ts';
import { CEDAR_SCHEMA } from './schema-text.ts';
import { requireProductSchema } from './schema.ts';

/** A named text of a bundle's directory. */
export interface PolicyFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Cedar's part of a bundle: the JSON forms, which white space and comments don't change. */
export interface CedarPolicies {
  readonly schema: JsonObject;
  /** By `@id`, sorted. */
  readonly policies: readonly { readonly id: string; readonly policy: JsonObject }[];
}

/** Policies, and what the validator finds odd about them. */
export interface CompiledPolicies {
  readonly policies: CedarPolicies;
  readonly warnings: readonly string[];
}

/** What `@id` may be: it is in authorizations, logs and answers. */
export const POLICY_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

interface LocatedPolicy {
  readonly id: string;
  readonly text: string;
  readonly policy: JsonObject;
  readonly file: PolicyFile;
  /** Bytes of the file before `text`. */
  readonly start: number;
}

/**
 * Parses, bounds and analyses policy text: every policy has a unique `@id`, is no template, and validates (strictly)
 * against the schema.
 * @param schema the bundle's own, or undefined for the product's
 * @throws Refusal naming file and line: `policy-size`, `policy-nesting`, `policy-syntax`, `policy-id`, `policy-number`,
 *   `policy-schema`, `policy-invalid`; `policy-engine` when the engine trapped
 */
export function compilePolicies(
  files: readonly PolicyFile[],
  schema: PolicyFile | undefined,
  load: CedarLoader,
): CompiledPolicies {
  if (files.length === 0)
    refuse('policy-source', 'no *.cedar file: without a permit nothing is ever allowed');
  if (files.length > POLICY_LIMITS.files)
    refuse('policy-size', `more than ${String(POLICY_LIMITS.files)} policy files`);
  // One instance for one compilation: what a text does to it, it does to nobody else.
  const cedar = load();
  const schemaJson = compileSchema(cedar, schema);
  const policies = files.flatMap((file) => readFile(cedar, file));
  if (policies.length === 0) refuse('policy-source', 'no policy: without a permit nothing is ever allowed');
  if (policies.length > POLICY_LIMITS.policies)
    refuse('policy-size', `more than ${String(POLICY_LIMITS.policies)} policies`);
  requireUniqueIds(policies);
  const warnings = analyse(cedar, schemaJson, policies);
  const sorted = policies.map(({ id, policy }) => ({ id, policy })).sort((a, b) => (a.id < b.id ? -1 : 1));
  return { policies: { schema: schemaJson, policies: sorted }, warnings };
}

const PRODUCT_SCHEMA = utf8(CEDAR_SCHEMA);
let productJson: JsonObject | undefined;

function compileSchema(cedar: CedarModule, schema: PolicyFile | undefined): JsonObject {
  // A constant of this program, parsed once: the engine takes longer for it than for most bundles.
  const product = (productJson ??= schemaJsonOf(cedar, { name: 'built-in schema', bytes: PRODUCT_SCHEMA }));
  if (schema === undefined || equalBytes(schema.bytes, PRODUCT_SCHEMA)) return product;
  const own = schemaJsonOf(cedar, schema);
  requireProductSchema(own, product, schema.name);
  return own;
}

function schemaJsonOf(cedar: CedarModule, file: PolicyFile): JsonObject {
  const text = boundedText(file);
  const answer = callEngine(cedar, (engine) => engine.schemaToJson(text));
  if (answer.type === 'failure') return syntax(file, answer.errors, 0);
  return answer.json as unknown as JsonObject;
}

/** The text, bounded before anything parses it. */
function boundedText(file: PolicyFile): string {
  if (file.bytes.length > POLICY_LIMITS.fileBytes) {
    refuse('policy-size', `${file.name}: over ${String(POLICY_LIMITS.fileBytes)} bytes`, { file: file.name });
  }
  const text = fromUtf8(file.bytes, file.name);
  const deep = deepNesting(text);
  if (deep !== undefined) {
    const line = text.slice(0, deep).split('\n').length;
    refuse(
      'policy-nesting',
      `${file.name}:${String(line)}: over ${String(POLICY_LIMITS.nesting)} nested brackets`,
      {
        file: file.name,
        line,
      },
    );
  }
  return text;
}

function readFile(cedar: CedarModule, file: PolicyFile): LocatedPolicy[] {
  const text = boundedText(file);
  const parts = callEngine(cedar, (engine) => engine.policySetTextToParts(text));
  if (parts.type === 'failure') return syntax(file, parts.errors, 0);
  const [template] = parts.policy_templates;
  if (template !== undefined)
    refuse('policy-syntax', `${file.name}: templates are not used here`, { file: file.name });
  return parts.policies.map((part) => locate(cedar, file, text, part));
}

function locate(cedar: CedarModule, file: PolicyFile, text: string, part: string): LocatedPolicy {
  const start = utf8(text.slice(0, Math.max(0, text.indexOf(part)))).length;
  const where = { file: file.name, line: lineOfByte(file.bytes, start) };
  const at = `${file.name}:${String(where.line)}`;
  const answer = callEngine(cedar, (engine) => engine.policyToJson(part));
  if (answer.type === 'failure') return syntax(file, answer.errors, start);
  const policy = answer.json as unknown as JsonObject;
  const id = answer.json.annotations?.['id'];
  if (id === undefined || !POLICY_ID.test(id))
    refuse('policy-id', `${at}: each policy needs an @id like "deploy-web"`, where);
  checkPolicyForm(policy, at, where);
  return { id, text: part, policy, file, start };
}

/**
 * Bounds on a policy's JSON form. Numbers over 2^53 − 1 would be read as other ones: the engine's own conversion rounds.
 * @throws Refusal `policy-nesting`, `policy-number`
 */
export function checkPolicyForm(policy: JsonValue, at: string, where: JsonObject): void {
  if (jsonDepth(policy) > POLICY_LIMITS.jsonDepth)
    refuse('policy-nesting', `${at}: an expression is too deep or too long; split the policy`, where);
  if (!onlySafeIntegers(policy)) refuse('policy-number', `${at}: an integer over 2^53 − 1`, where);
}

function requireUniqueIds(policies: readonly LocatedPolicy[]): void {
  const seen = new Map<string, LocatedPolicy>();
  for (const policy of policies) {
    const { id, file } = policy;
    const other = seen.get(id);
    if (other !== undefined) {
      const line = lineOf(policy);
      refuse(
        'policy-id',
        `${file.name}:${String(line)}: @id("${id}") is also in ${other.file.name}:${String(lineOf(other))}`,
        { file: file.name, line, id },
      );
    }
    seen.set(id, policy);
  }
}

const lineOf = ({ file, start }: LocatedPolicy, offset = 0): number => lineOfByte(file.bytes, start + offset);

/** Strict validation; errors are refusals, one for each, all reported. @returns warnings */
function analyse(cedar: CedarModule, schema: JsonObject, policies: readonly LocatedPolicy[]): string[] {
  const texts = Object.fromEntries(policies.map(({ id, text }) => [id, text]));
  const answer = callEngine(cedar, (engine) =>
    engine.validate({
      schema: schema as unknown as SchemaJson<string>,
      policies: { staticPolicies: texts },
      validationSettings: { mode: 'strict' },
    }),
  );
  if (answer.type === 'failure')
    refuse('policy-invalid', answer.errors[0]?.message ?? 'the policies can’t be validated');
  const byId = new Map(policies.map((policy) => [policy.id, policy]));
  const where = (found: ValidationError) => {
    const policy = byId.get(found.policyId);
    if (policy === undefined) return { at: found.policyId, detail: {} };
    const line = lineOf(policy, found.error.sourceLocations?.[0]?.start ?? 0);
    return { at: `${policy.file.name}:${String(line)}`, detail: { file: policy.file.name, line } };
  };
  const failures = answer.validationErrors.map((found) => {
    const { at, detail } = where(found);
    const help = found.error.help === null ? '' : ` (${found.error.help})`;
    return new Refusal('policy-invalid', `${at}: ${found.error.message}${help}`, {
      ...detail,
      id: found.policyId,
    });
  });
  if (failures.length > 0) throw Refusal.join(failures);
  return answer.validationWarnings.map((found) => `${where(found).at}: ${found.error.message}`);
}

function syntax(
  file: PolicyFile,
  errors: readonly {
    message: string;
    sourceLocations?: readonly { start: number; label: string | null }[];
  }[],
  start: number,
): never {
  const [error] = errors;
  const location = error?.sourceLocations?.[0];
  const line = lineOfByte(file.bytes, start + (location?.start ?? 0));
  const label = location?.label == null ? '' : `: ${location.label}`;
  return refuse('policy-syntax', `${file.name}:${String(line)}: ${error?.message ?? 'not Cedar'}${label}`, {
    file: file.name,
    line,
  });
}

/** The JSON form as the engine's types name it; its shape was checked by the engine itself. */
export function policyTable({ policies }: CedarPolicies): Record<string, PolicyJson> {
  return Object.fromEntries(policies.map(({ id, policy }) => [id, policy as unknown as PolicyJson]));
}
