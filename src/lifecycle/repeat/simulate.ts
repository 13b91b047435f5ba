import { loadBundle } from '../../policy/index.ts';
import type { CedarLoader, PolicyBundle } from '../../policy/index.ts';
import { judgeSubmission } from '../decide.ts';
import type { Denial } from '../denial.ts';
import type { OpenedPackage } from '../package/verify.ts';
import { readKept } from './repeat.ts';
import { repeatDeps } from './repeat-deps.ts';

/** A decision under another policy. */
export interface Simulated {
  readonly outcome: 'allow' | 'deny' | 'undetermined';
  /** Why it would be denied, or can't be told; null for an allow. */
  readonly denial: Denial | null;
}

/**
 * What a policy bundle would have said to a request that was decided under another: the very stages, with the request,
 * evidence, state and time of then. The bundle is taken as if it had been the active one that the request names, and as
 * valid at that moment; everything else of it counts, its selections too: a quote of other PCRs than it asks for is denied.
 *
 * `undetermined` where the candidate asks for what was not read then (another host, a token that was refused).
 * @returns undefined for what can't be repeated: an attestation, a package that lacks something
 */
export async function simulateDecision(
  { decision, repeatable }: OpenedPackage,
  candidate: PolicyBundle,
  load: CedarLoader,
): Promise<Simulated | undefined> {
  const policy = repeatable?.material.policy ?? null;
  if (repeatable === null || policy === null || repeatable.material.inputs.purpose !== 'execution')
    return undefined;
  const { kept, material } = repeatable;
  const { inputs } = material;
  const bundle: PolicyBundle = {
    ...candidate,
    hash: policy.bundle.hash,
    validity: { notBefore: inputs.now, notAfter: inputs.now + 1 },
  };
  const deps = repeatDeps({ ...material, policy: { ...policy, ...loadBundle(candidate, load), bundle } });
  const { submission } = readKept(decision, kept, inputs);
  const denial = await judgeSubmission(() => submission, inputs.caller, deps);
  if (denial === null) return { outcome: 'allow', denial };
  return { outcome: denial.check === 'decision-repeat' ? 'undetermined' : 'deny', denial };
}
