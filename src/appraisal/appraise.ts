import { Refusal } from '../base/index.ts';
import type { VerifiedEventLog } from '../evidence/eventlog/index.ts';
import type { VerifiedIma } from '../evidence/ima/index.ts';
import type { VerifiedQuote } from '../tpm/index.ts';
import { bootChecks } from './boot-checks.ts';
import type { AppraisalCheck, TrustClaim } from './check.ts';
import { checkRefusal } from './check.ts';
import { appraiseIma } from './ima-checks.ts';
import type { ReferenceValues } from './references.ts';
import { tpmChecks } from './tpm-checks.ts';
import type { TrustTier, TrustVector } from './trust-vector.ts';
import { tierOf, vectorOf } from './trust-vector.ts';

/** Verified facts; a claim that nobody verified doesn't fit in here. */
export interface AppraisalFacts {
  readonly quote: VerifiedQuote;
  /** Null: none was given, or it didn't verify; then `failures` says why. */
  readonly eventLog: VerifiedEventLog | null;
  readonly ima: VerifiedIma | null;
  /** Why logs that the references need are not there. */
  readonly failures: readonly Refusal[];
  /** What an enrollment record proves; left out offline. */
  readonly enrollment?: { readonly manufacturer?: string };
}

/** What is true of a host, and how far it is trusted; whether that is enough is policy's to say. */
export interface Appraisal {
  readonly status: TrustTier;
  readonly vector: TrustVector;
  readonly checks: readonly AppraisalCheck[];
  /** Every check that failed, as refusals; empty exactly when the status is affirming. */
  readonly failures: readonly Refusal[];
  /** From where something could run without being measured. */
  readonly exempt: readonly string[];
}

/**
 * Appraises verified facts against reference values (RATS: Appraisal of Evidence). Nothing listed means nothing
 * allowed; a fact that the references need and nobody proved is a failed check; the verdict starts at "none".
 */
export function appraise(facts: AppraisalFacts, references: ReferenceValues): Appraisal {
  const boot = references.eventLog;
  const ima =
    facts.ima === null ? { checks: [], exempt: [] } : appraiseIma(facts.ima, facts.eventLog, references);
  const checks = [
    ...tpmChecks(facts.quote, references, facts.enrollment?.manufacturer),
    ...(boot === undefined || facts.eventLog === null ? [] : bootChecks(facts.eventLog, boot)),
    ...ima.checks,
  ];
  const missing = missingEvidence(facts, references);
  const failed = checks.filter(({ ok }) => !ok);
  const vector = vectorOf(checks, {
    missing: missing.length > 0,
    identity: facts.enrollment !== undefined,
    measured: facts.ima !== null && references.ima !== undefined,
    exempt: ima.exempt.length > 0,
  });
  const failures = [...missing, ...failed.map(checkRefusal)];
  // No failure and no claim: nothing was compared, and that is a denial.
  if (failures.length === 0 && checks.length === 0)
    failures.push(new Refusal('references-form', 'the reference values compare nothing'));
  return {
    status: checks.length === 0 ? 'none' : tierOf(vector),
    vector,
    checks,
    failures,
    exempt: ima.exempt,
  };
}

/** Refusals for logs that the references speak of and that did not verify. */
function missingEvidence(facts: AppraisalFacts, references: ReferenceValues): readonly Refusal[] {
  const needLog = references.eventLog !== undefined && facts.eventLog === null;
  const needIma = references.ima !== undefined && facts.ima === null;
  if (!needLog && !needIma) return [];
  if (facts.failures.length === 0) throw new TypeError('evidence is missing, and nothing says why');
  return facts.failures;
}

/** True when policy may release something: affirming as a whole and in each claim that the platform requires. */
export function isAffirming(
  { status, vector, failures }: Appraisal,
  required: readonly TrustClaim[] = [],
): boolean {
  return (
    status === 'affirming' &&
    failures.length === 0 &&
    required.every((claim) => {
      const value = vector[claim];
      return value !== undefined && value >= 2 && value < 32;
    })
  );
}
