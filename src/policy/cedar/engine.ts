import type { AuthorizationAnswer, Context, SchemaJson } from '@cedar-policy/cedar-wasm/nodejs';
import { Refusal, refuse } from '../../base/index.ts';
import { policyTable } from './compile.ts';
import type { CedarPolicies } from './compile.ts';
import { callEngine } from './engine-call.ts';
import { requireCedarValue } from './facts.ts';
import type { PolicyRequest } from './facts.ts';
import type { CedarLoader, CedarModule } from './load.ts';

/** The one name of policies and schema in an engine: its cache never evicts. A staged bundle has an engine of its own. */
const NAME = 'policy';

/** The engine's answer; `allow` only with an explicit permit and without a single error. */
export interface PolicyDecision {
  readonly allow: boolean;
  /** Ids of the policies that determined it, sorted; empty when none applied. */
  readonly ids: readonly string[];
  /** What went wrong while evaluating; any entry denies. */
  readonly errors: readonly string[];
}

const deny = (...errors: string[]): PolicyDecision => ({ allow: false, ids: [], errors });

/**
 * Cedar, kept fail-closed. It is synchronous: one decision sees one set of policies.
 */
export class PolicyEngine {
  readonly #load: CedarLoader;
  #policies: CedarPolicies | undefined;
  #cedar: CedarModule | undefined;

  constructor(load: CedarLoader) {
    this.#load = load;
  }

  /**
   * Takes policies, validated against their schema once more: a bundle may come from anywhere. On a refusal the engine
   * keeps those that it had.
   * @throws Refusal `policy-invalid`, `policy-engine`
   */
  load(policies: CedarPolicies): void {
    // Tried on an instance of its own: the one that decides never sees policies that don't load.
    const trial = this.#load();
    validate(trial, policies);
    preparse(trial, policies);
    this.#policies = policies;
    this.#cedar = undefined;
  }

  /** Decides; never throws. A request that doesn't fit the schema, an error, a trap: denied. */
  authorize(request: PolicyRequest): PolicyDecision {
    const policies = this.#policies;
    if (policies === undefined) return deny('no policy');
    try {
      requireCedarValue(request.context, 'context');
      const cedar = this.#instance(policies);
      return judge(
        policies,
        callEngine(cedar, (engine) =>
          engine.statefulIsAuthorized({
            principal: request.principal,
            action: { type: 'Action', id: request.action },
            resource: request.resource,
            context: request.context as Context,
            entities: [],
            preparsedSchemaName: NAME,
            preparsedPolicySetId: NAME,
            // Without a schema an erroring forbid is skipped and the answer is allow.
            validateRequest: true,
          }),
        ),
      );
    } catch (error) {
      // A trap leaves the instance's memory broken for good: the next question gets a new one. What never
      // reached the engine doesn't: nobody buys 25 ms with a malformed request.
      if (!(error instanceof Refusal) || error.check !== 'policy-request') this.#cedar = undefined;
      return deny(error instanceof Refusal ? error.reason : 'the policy engine is unavailable');
    }
  }

  #instance(policies: CedarPolicies): CedarModule {
    if (this.#cedar !== undefined) return this.#cedar;
    const cedar = this.#load();
    preparse(cedar, policies);
    this.#cedar = cedar;
    return cedar;
  }
}

/** Zero errors and an explicit permit, or no. */
function judge(policies: CedarPolicies, answer: AuthorizationAnswer): PolicyDecision {
  if (answer.type === 'failure') return deny(...answer.errors.map(({ message }) => message));
  const { decision, diagnostics } = answer.response;
  // The engine's order is random; decisions are repeated byte by byte.
  const ids = [...diagnostics.reason].sort();
  const errors = diagnostics.errors.map(({ policyId, error }) => `${policyId}: ${error.message}`).sort();
  const permits = new Set(
    policies.policies.filter(({ policy }) => policy['effect'] === 'permit').map(({ id }) => id),
  );
  const permitted = ids.length > 0 && ids.every((id) => permits.has(id));
  return { allow: decision === 'allow' && errors.length === 0 && permitted, ids, errors };
}

/** A failed preparse keeps the set before active: its result is a refusal. */
function preparse(cedar: CedarModule, policies: CedarPolicies): void {
  const schema = policies.schema as unknown as SchemaJson<string>;
  const parsedSchema = callEngine(cedar, (engine) => engine.preparseSchema(NAME, schema));
  if (parsedSchema.type === 'failure')
    refuse('policy-invalid', parsedSchema.errors[0]?.message ?? 'the schema does not load');
  const parsed = callEngine(cedar, (engine) =>
    engine.preparsePolicySet(NAME, { staticPolicies: policyTable(policies) }),
  );
  if (parsed.type === 'failure')
    refuse('policy-invalid', parsed.errors[0]?.message ?? 'the policies do not load');
}

function validate(cedar: CedarModule, policies: CedarPolicies): void {
  const answer = callEngine(cedar, (engine) =>
    engine.validate({
      schema: policies.schema as unknown as SchemaJson<string>,
      policies: { staticPolicies: policyTable(policies) },
      validationSettings: { mode: 'strict' },
    }),
  );
  const [first] =
    answer.type === 'failure' ? answer.errors : answer.validationErrors.map(({ error }) => error);
  if (first !== undefined || answer.type === 'failure')
    refuse('policy-invalid', first?.message ?? 'the policies do not validate');
}

/**
 * The decision as a gate.
 * @returns ids of the policies that permitted it, never empty
 * @throws Refusal `policy-error` when the evaluation failed, `policy-denied` otherwise
 */
export function requireAllowed({ allow, ids, errors }: PolicyDecision): readonly string[] {
  if (errors.length > 0)
    refuse('policy-error', 'the policy could not be evaluated', {
      errors: errors.slice(0, 16),
      ids: [...ids],
    });
  if (allow && ids.length > 0) return ids;
  return refuse('policy-denied', ids.length === 0 ? 'no policy permits this' : 'a policy forbids this', {
    ids: [...ids],
  });
}
