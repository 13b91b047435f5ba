import { Refusal } from '../base/index.ts';
import { problemRefusals } from '../evidence/eventlog/index.ts';
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
  /** Null: none was given, or it didn't verify. */
  readonly eventLog: VerifiedEventLog | null;
  readonly ima: VerifiedIma | null;
  /** Why logs that came did not verify. */
  readonly failures: readonly Refusal[];
  /** Why logs that the references may need did not come; where it is left out, `failures` says it. */
  readonly notGiven?: readonly Refusal[];
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
 * allowed; a fact that the references need and nobody proved is a failed check; the verdict starts at "none". A log that
 * breaks a rule of form or trust is no evidence, whatever facts it would leave and whatever the references ask of it.
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
  const unsound = unsoundEvidence(facts, references);
  const failed = checks.filter(({ ok }) => !ok);
  const vector = vectorOf(checks, {
    unsound: unsound.length > 0,
    identity: facts.enrollment !== undefined,
    measured: facts.ima !== null && references.ima !== undefined,
    exempt: ima.exempt.length > 0,
  });
  const failures = [...unsound, ...failed.map(checkRefusal)];
  // No failure and no claim: nothing was compared, and that is a denial.
  if (failures.length === 0 && checks.length === 0)
    failures.push(new Refusal('references-form', 'the reference values compare nothing'));
  return {
    status: checks.length === 0 && unsound.length === 0 ? 'none' : tierOf(vector),
    vector,
    checks,
    failures,
    exempt: ima.exempt,
  };
}

/** Refusals for logs that break rules or did not verify, and for those that the references speak of and that aren't there. */
function unsoundEvidence(
  { eventLog, ima, failures, notGiven = [] }: AppraisalFacts,
  references: ReferenceValues,
): readonly Refusal[] {
  const broken = [...problemRefusals(eventLog?.problems ?? []), ...failures];
  const needLog = references.eventLog !== undefined && eventLog === null;
  const needIma = references.ima !== undefined && ima === null;
  if (!needLog && !needIma) return broken;
  if (failures.length + notGiven.length === 0)
    throw new TypeError('evidence is missing, and nothing says why');
  return [...broken, ...notGiven];
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
