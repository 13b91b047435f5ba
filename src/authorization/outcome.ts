import { Refusal } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';

/** How a presented chain can fail, in the order of the checks: the first that fails names the outcome. */
export const REFUSED_OUTCOMES = [
  'signature_invalid',
  'par_hash_mismatch',
  'depth_invalid',
  'principal_altered',
  'not_narrower',
  'expired',
  'holder_binding_failed',
  'revoked',
  'status_unknown',
  'audience_mismatch',
  'scope_not_granted',
  'ceiling_exceeded',
] as const;
export type RefusedOutcome = (typeof REFUSED_OUTCOMES)[number];
/** What verifying a chain and one use of it comes to. */
export type Outcome = 'ok' | RefusedOutcome;

/** Checks of form, which say nothing about which rule of the delegation could not be applied. */
const FORM = ['malformed', 'authorization-form', 'authorization-keys'];

/**
 * Runs one step; what is wrong with the form of its input becomes the step's outcome, since a rule that can't be
 * applied doesn't hold. Refusals that name an outcome already pass.
 */
export async function asOutcome<T>(outcome: RefusedOutcome, step: () => Promise<T> | T): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof Refusal) || !FORM.includes(error.check)) throw error;
    const named = outcomeOfMember(error.detail) ?? outcome;
    throw new Refusal(named, error.reason, error.detail);
  }
}

/** Which rule needs a claim: without it, or with another type, that rule can't hold. */
const RULE_OF_CLAIM: Readonly<Record<string, RefusedOutcome>> = {
  par_hash: 'par_hash_mismatch',
  del_depth: 'depth_invalid',
  del_max_depth: 'depth_invalid',
  sub: 'principal_altered',
  txn: 'principal_altered',
  act: 'principal_altered',
  gov: 'principal_altered',
  authorization_details: 'not_narrower',
  iat: 'expired',
  nbf: 'expired',
  exp: 'expired',
  cnf: 'holder_binding_failed',
  status: 'status_unknown',
  aud: 'audience_mismatch',
};

function outcomeOfMember({ member }: JsonObject): RefusedOutcome | undefined {
  const claim = typeof member === 'string' ? /^authorization\.([a-z_]+)/.exec(member)?.[1] : undefined;
  return claim === undefined || !Object.hasOwn(RULE_OF_CLAIM, claim) ? undefined : RULE_OF_CLAIM[claim];
}
