import type { AppraisalCheck, TrustClaim } from './check.ts';

/** AR4SI: what a value of a trust claim amounts to. */
export type TrustTier = 'none' | 'affirming' | 'warning' | 'contraindicated';

/** Values by claim, −128 … 127; a claim about which nothing is said is left out. */
export type TrustVector = Readonly<Partial<Record<TrustClaim, number>>>;

/** What the vector depends on besides the checks. */
export interface VectorInputs {
  /** Evidence broke a rule or didn't verify, or the references need what is missing. */
  readonly unsound: boolean;
  /** The TPM's identity was established at enrollment. */
  readonly identity: boolean;
  /** A complete IMA list was judged. */
  readonly measured: boolean;
  /** Something could run unmeasured: `executables` is then 3 at best. */
  readonly exempt: boolean;
}

/** The vector: for each claim that a check speaks of, its worst failure, else what passing proves. */
export function vectorOf(checks: readonly AppraisalCheck[], inputs: VectorInputs): TrustVector {
  const vector: Partial<Record<TrustClaim, number>> = {};
  if (inputs.identity) vector['instance-identity'] = 2;
  for (const { claim, ok, failed } of checks) {
    const value = ok ? passing(claim, inputs) : failed;
    vector[claim] = Math.max(vector[claim] ?? 0, value);
  }
  // Without sound logs nothing is known about what ran.
  if (inputs.unsound) vector.executables = Math.max(vector.executables ?? 0, 33);
  return vector;
}

function passing(claim: TrustClaim, { measured, exempt }: VectorInputs): number {
  // 2: everything that ran was approved; 3: what booted was approved.
  if (claim === 'executables') return measured && !exempt ? 2 : 3;
  return 2;
}

/** The tier of the highest value; `none` only when there is no claim at all. */
export function tierOf(vector: TrustVector): TrustTier {
  const values = Object.values(vector);
  if (values.length === 0) return 'none';
  const worst = Math.max(...values);
  if (worst >= 96) return 'contraindicated';
  if (worst >= 32) return 'warning';
  return worst >= 2 ? 'affirming' : 'none';
}
