import { askChallenge } from '../../agent/challenge.ts';
import type { Host } from '../../agent/index.ts';
import { Refusal, isJsonObject, refuse } from '../../base/index.ts';
import type { Clock } from '../../base/index.ts';
import { VerifierRefusal, showPolicy } from '../../client/index.ts';
import { toDenial } from '../../lifecycle/index.ts';
import type { VerifiedManifest } from '../../policy/index.ts';
import { askExecution } from '../ask-execution.ts';
import type { ExecutionPlan } from '../ask-execution.ts';
import { judgeArtifact } from '../judge-policy.ts';
import type { SignedAs } from '../judge-policy.ts';

/**
 * Judges an artifact before this host's kernel may see any of it: by the last policy that the authorities signed and this
 * host accepted. Where none is known, or that one doesn't trust the artifact, the policy of now is fetched, verified by the
 * pinned authorities and kept.
 * @param policyHash of the policy that a challenge names, when there is one: then only that one counts
 * @returns hash of the policy that trusts it
 * @throws Refusal those of src/artifact, `artifact-name`, `artifact-not-trusted-here`, `policy-…`
 */
export async function requireTrustedHere(
  host: Host,
  artifact: SignedAs,
  clock: Clock,
  policyHash?: string,
): Promise<string> {
  const known = host.policySeen.manifest(host.trust, clock.now());
  if (known !== undefined && (policyHash === undefined || known.manifest.hash === policyHash)) {
    try {
      return judged(known, artifact, clock);
    } catch (error) {
      if (policyHash !== undefined || !(error instanceof Refusal)) throw error;
      // A signer may have become trusted since.
    }
  }
  // Authorities that signed it may be of a newer trust bundle, which a challenge names.
  if (policyHash === undefined) await askChallenge(host, 'execution', clock);
  return judged(await fetchManifest(host, clock), artifact, clock);
}

function judged(verified: VerifiedManifest, artifact: SignedAs, clock: Clock): string {
  judgeArtifact(verified, artifact, clock.now());
  return verified.manifest.hash;
}

async function fetchManifest(host: Host, clock: Clock): Promise<VerifiedManifest> {
  const { active } = await showPolicy(host.client);
  const manifest = isJsonObject(active) ? active['manifest'] : undefined;
  if (!isJsonObject(manifest))
    return refuse('artifact-not-trusted-here', 'there is no policy that could trust an artifact');
  return await host.policySeen.accept(manifest, host.trust, clock.now());
}

/**
 * Has the verifier deny an artifact that this host doesn't trust, so that the denial is in the log: asked for by its digest,
 * with nothing copied and nothing measured. What the caller is told is what this host found.
 * @throws VerifierRefusal with the leaf's index; the refusal itself where the verifier can't be asked
 */
export async function denyUntrusted(
  host: Host,
  plan: ExecutionPlan,
  refusal: Refusal,
  clock: Clock,
): Promise<never> {
  try {
    await askExecution(host, plan, clock);
  } catch (error) {
    if (error instanceof VerifierRefusal && error.auditIndex !== undefined)
      throw new VerifierRefusal(toDenial(refusal), error.status, error.auditIndex);
  }
  throw refusal;
}
