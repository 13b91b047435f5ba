import { canonicalJson, isJsonObject, refuse } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';

/** The one type of the schema that a bundle fills in itself. */
export const CLAIMS_TYPE = 'InitiatorClaims';

/**
 * A bundle's schema is the product's, but for the claims of initiators: facts that the verifier never gives would make
 * rules that never hold, and facts that it gives and the schema doesn't know would deny everything.
 * @throws Refusal `policy-schema`
 */
export function requireProductSchema(own: JsonObject, product: JsonObject, file: string): void {
  for (const [name, type] of claimTypes(own)) {
    if (!isOptionalSimple(type))
      refuse(
        'policy-schema',
        `${file}: claim ${name} must be optional ("?") and Long, String, Bool or Set<String>`,
        { file, claim: name },
      );
  }
  if (canonicalJson(withoutClaims(own)) !== canonicalJson(withoutClaims(product))) {
    refuse(
      'policy-schema',
      `${file}: only ${CLAIMS_TYPE} may differ from the schema of this version (sealgate policy init writes it)`,
      { file },
    );
  }
}

/** Names of the claims that policies may look at. */
export function schemaClaims(schema: JsonObject): readonly string[] {
  return claimTypes(schema).map(([name]) => name);
}

function claimTypes(schema: JsonObject): [string, JsonValue][] {
  const type = member(member(member(schema, ''), 'commonTypes'), CLAIMS_TYPE);
  const attributes = member(type, 'attributes');
  return isJsonObject(attributes) ? Object.entries(attributes) : [];
}

function isOptionalSimple(type: JsonValue): boolean {
  if (!isJsonObject(type) || type['required'] !== false) return false;
  const rest = Object.entries(type).filter(([name]) => name !== 'required');
  return SIMPLE.has(canonicalJson(Object.fromEntries(rest)));
}

const named = (name: string): JsonObject => ({ type: 'EntityOrCommon', name });
const SIMPLE = new Set(
  [named('Long'), named('String'), named('Bool'), { type: 'Set', element: named('String') }].map((type) =>
    canonicalJson(type),
  ),
);

function withoutClaims(schema: JsonObject): JsonObject {
  const namespace = member(schema, '');
  const common = member(namespace, 'commonTypes');
  if (!isJsonObject(namespace) || !isJsonObject(common)) return schema;
  return { ...schema, '': { ...namespace, commonTypes: { ...common, [CLAIMS_TYPE]: null } } };
}

function member(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}
