import { verifyArtifact } from '../../artifact/index.ts';
import type { VerifiedArtifact } from '../../artifact/index.ts';
import { equalBytes, fromBase64url, fromHex, refuse } from '../../base/index.ts';
import type { VerifiedPcrs } from '../../tpm/index.ts';
import { artifactMeasurement, artifactPcr } from '../execution-request.ts';
import type { RequestedArtifact } from '../execution-request.ts';
import { requireNotRevoked } from '../not-revoked.ts';
import type { DecisionDeps } from '../ports.ts';
import type { AdmittedRequest } from './request-stage.ts';

/** PCR that the gateway resets and extends with the artifact. */
const ARTIFACT_PCR = 23;

/**
 * Stage `artifact`: the TPM quoted exactly this artifact for exactly this request, and those whom policy trusts signed it.
 * @throws Refusal `artifact-pcr`, those of src/artifact, `artifact-revoked`
 */
export async function approveArtifact(
  admitted: AdmittedRequest,
  pcrs: VerifiedPcrs,
  deps: DecisionDeps,
): Promise<VerifiedArtifact> {
  const { request, digest, nonce } = admitted;
  const { artifact } = request;
  const expected = artifactPcr(artifactMeasurement(nonce, artifact.digest, digest));
  const quoted = pcrs.get('sha256', ARTIFACT_PCR);
  if (quoted === undefined || !equalBytes(quoted, expected))
    refuse('artifact-pcr', 'PCR 23 is not what this artifact and request give');
  return await approveSigned(artifact, admitted, deps);
}

/**
 * The second half, which a renewal runs again: those whom the active policy trusts signed the artifact, and neither it
 * nor they were revoked.
 * @throws Refusal those of src/artifact, `artifact-name`, `artifact-revoked`
 */
export async function approveSigned(
  artifact: RequestedArtifact,
  { policy, now }: Pick<AdmittedRequest, 'policy' | 'now'>,
  deps: DecisionDeps,
): Promise<VerifiedArtifact> {
  const verified = verifySignatures(artifact, { policy, now });
  await requireNotRevoked(
    [
      { kind: 'artifact', id: artifact.digest },
      ...verified.signers.map(({ key }) => ({ kind: 'signer', id: key }) as const),
    ],
    deps,
    'artifact-revoked',
  );
  return verified;
}

/** Signed by those whom policy trusts, under the name that it is asked for by. @throws Refusal as {@link approveSigned} */
export function verifySignatures(
  artifact: RequestedArtifact,
  { policy, now }: Pick<AdmittedRequest, 'policy' | 'now'>,
): VerifiedArtifact {
  const sha256 = artifact.digest.slice('sha256:'.length);
  const envelopes = artifact.signatures.map(({ format, data }) => ({
    format,
    bytes: fromBase64url(data, 'signature'),
  }));
  const verified = verifyArtifact(
    { digests: { sha256: fromHex(sha256) }, envelopes },
    policy.bundle.artifacts,
    {
      now: () => now,
    },
  );
  // Without a name that signatures or trust fix, the requester would choose the identity that it gets.
  if (verified.name !== artifact.name)
    refuse('artifact-name', 'not signed under the name that it was asked for by', { name: verified.name });
  return verified;
}
