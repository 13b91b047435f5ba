import { verifyArtifact } from '../artifact/index.ts';
import { fromBase64url, fromHex, refuse } from '../base/index.ts';
import type { ExecutionRequest } from '../lifecycle/index.ts';
import type { SignedManifest } from '../policy/index.ts';

/** An artifact by name and digest, with what signs it. */
export type SignedAs = Pick<ExecutionRequest['artifact'], 'name' | 'digest' | 'signatures'>;

/**
 * The artifact, by the signed policy's own trust document: a verifier that lies about signatures is found out here.
 * @param now Unix ms
 * @throws Refusal those of src/artifact; `artifact-name`
 */
export function judgeArtifact(
  { artifactTrust }: Pick<SignedManifest, 'artifactTrust'>,
  artifact: SignedAs,
  now: number,
): void {
  const envelopes = artifact.signatures.map(({ format, data }) => ({
    format,
    bytes: fromBase64url(data, 'signature'),
  }));
  const sha256 = fromHex(artifact.digest.slice('sha256:'.length));
  const { name } = verifyArtifact({ digests: { sha256 }, envelopes }, artifactTrust, { now: () => now });
  if (name !== artifact.name)
    refuse('artifact-name', 'not signed under the name that it was asked for by', { name });
}
