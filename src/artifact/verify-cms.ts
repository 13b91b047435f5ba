import { Refusal, equalBytes, refuse } from '../base/index.ts';
import { NO_STATEMENT } from './claim.ts';
import type { Outcome, SignedClaim } from './claim.ts';
import { parseCms } from './cms.ts';
import type { CmsSignature } from './cms.ts';
import { signerByChain } from './cms-chain.ts';
import { verifySignature } from './keys.ts';
import type { ArtifactTrust } from './trust.ts';
import type { ContentDigests } from './types.ts';

/**
 * Detached CMS signatures over this artifact, by trusted keys or by code-signing certificates under trusted roots.
 * @param now Unix milliseconds
 * @throws Refusal those of `parseCms`; what is wrong with one SignerInfo is in its outcome
 */
export function verifyCms(
  bytes: Uint8Array,
  digests: ContentDigests,
  trust: ArtifactTrust,
  now: number,
): Outcome[] {
  const { certificates, signatures } = parseCms(bytes, trust.threshold);
  return signatures.flatMap((signature) => {
    try {
      return verifySignerInfo(signature, certificates, { digests, trust, now });
    } catch (error) {
      if (error instanceof Refusal) return [error];
      throw error;
    }
  });
}

interface Question {
  readonly digests: ContentDigests;
  readonly trust: ArtifactTrust;
  readonly now: number;
}

function verifySignerInfo(
  cms: CmsSignature,
  certificates: readonly Uint8Array[],
  question: Question,
): Outcome[] {
  const { digests, trust, now } = question;
  const listed = signersByKey(cms, trust);
  const signers = listed.length > 0 ? listed : [signerByChain(cms, certificates, trust.roots, now)];
  const own = digests[cms.digest];
  if (own === undefined) {
    return refuse('artifact-hash', `the content’s ${cms.digest} is not at hand: sign with SHA-256`, {
      hash: cms.digest,
    });
  }
  if (!equalBytes(own, cms.attributes.messageDigest)) {
    refuse('cms-message-digest', 'the signed message digest is not this artifact’s', {
      keys: signers.map(({ key }) => key),
    });
  }
  return signers.map((found) => ({
    ...found,
    ...NO_STATEMENT,
    format: 'cms',
    signedAt: cms.attributes.signingTime,
  }));
}

type Signer = Pick<SignedClaim, 'key' | 'signer'>;

/** Trusted keys need no certificate: what the file says about its signer is a hint, like a keyid. */
function signersByKey(cms: CmsSignature, trust: ArtifactTrust): Signer[] {
  const { algorithm, hash } = cms.signatureAlgorithm;
  return trust.keys
    .filter(
      (signer) =>
        signer.formats.includes('cms') && signer.algorithm === algorithm && signer.hashes.includes(hash),
    )
    .filter(({ key }) =>
      verifySignature(key, cms.signatureAlgorithm, cms.attributes.signedBytes, cms.signature),
    )
    .map((signer) => ({ key: signer.key.fingerprint, signer }));
}
