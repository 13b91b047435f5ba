import { equalBytes, refuse } from '../base/index.ts';
import type { Outcome, SignedClaim } from './claim.ts';
import { parseCms } from './cms.ts';
import type { CmsSignature } from './cms.ts';
import { signerByChain } from './cms-chain.ts';
import { verifySignature } from './keys.ts';
import type { ArtifactTrust } from './trust.ts';
import type { ContentDigests } from './types.ts';

/**
 * A detached CMS signature over this artifact, by a trusted key or by a code-signing certificate under a trusted root.
 * @throws Refusal those of `parseCms` and `signerByChain`, and `artifact-signature`, `artifact-hash`,
 * `cms-message-digest`
 */
export function verifyCms(
  bytes: Uint8Array,
  digests: ContentDigests,
  trust: ArtifactTrust,
  now: number,
): Outcome[] {
  const cms = parseCms(bytes);
  const { key, signer } = signerByKey(cms, trust) ?? signerByChain(cms, trust.roots, now);
  const own = digests[cms.digest];
  if (own === undefined)
    return refuse('artifact-hash', `the content’s ${cms.digest} is not at hand: sign with SHA-256`, {
      hash: cms.digest,
    });
  if (!equalBytes(own, cms.attributes.messageDigest)) {
    refuse('cms-message-digest', 'the signed message digest is not this artifact’s', { key });
  }
  const window = { notBefore: undefined, notAfter: undefined };
  return [
    {
      key,
      format: 'cms',
      signer,
      name: undefined,
      version: undefined,
      signedAt: cms.attributes.signingTime,
      window,
    },
  ];
}

/** Trusted keys need no certificate: what the file says about its signer is a hint, like a keyid. */
function signerByKey(
  cms: CmsSignature,
  trust: ArtifactTrust,
): Pick<SignedClaim, 'key' | 'signer'> | undefined {
  const { algorithm, hash } = cms.signatureAlgorithm;
  const usable = trust.keys.filter(
    (signer) =>
      signer.formats.includes('cms') && signer.algorithm === algorithm && signer.hashes.includes(hash),
  );
  const signer = usable.find(({ key }) =>
    verifySignature(key, cms.signatureAlgorithm, cms.attributes.signedBytes, cms.signature),
  );
  return signer && { key: signer.key.fingerprint, signer };
}
