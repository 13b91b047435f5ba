import { Refusal, equalBytes, fromHex, refuse, toHex } from '../base/index.ts';
import { OID, codeSigningProfile, parseCertificate, verifyPath } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import type { SignedClaim } from './claim.ts';
import { isSigner } from './cms.ts';
import type { CmsSignature } from './cms.ts';
import { publicKeyFromSpki, verifySignature } from './keys.ts';
import type { TrustedRoot } from './trust.ts';

/**
 * The code-signing certificate that signed, when its path leads to a trusted root: validity, CA flags, key usages,
 * path lengths, extended key usage and critical extensions are judged by `x509`.
 * @param received certificates of the CMS file, DER
 * @param now Unix milliseconds
 * @throws Refusal `artifact-signature`, `cms-certificate`, `cms-subject`, `artifact-algorithm` and those of `verifyPath`
 */
export function signerByChain(
  cms: CmsSignature,
  received: readonly Uint8Array[],
  roots: readonly TrustedRoot[],
  now: number,
): Pick<SignedClaim, 'key' | 'signer'> {
  if (roots.length === 0) refuse('artifact-signature', 'no key that is trusted for CMS made this signature');
  const certificates = received.map((certificate) => parseCertificate(certificate));
  const leaf = signerCertificate(cms, certificates);
  const key = publicKeyFromSpki(leaf.publicKey.canonical);
  const { root, refusal } = firstRoot(roots, (candidate) => {
    verifyPath({
      leaf,
      intermediates: certificates.filter((certificate) => certificate !== leaf),
      anchors: [parseCertificate(candidate.certificate)],
      now,
      profile: codeSigningProfile,
    });
    checkUse(cms, candidate, leaf);
  });
  if (root === undefined) throw refusal;
  if (!verifySignature(key, cms.signatureAlgorithm, cms.attributes.signedBytes, cms.signature)) {
    refuse('artifact-signature', 'the CMS signature is not by its signer’s certificate', {
      key: key.fingerprint,
    });
  }
  return { key: key.fingerprint, signer: root };
}

function signerCertificate(cms: CmsSignature, certificates: readonly Certificate[]): Certificate {
  const fits = certificates.filter((certificate) =>
    isSigner(cms.signer, {
      issuer: certificate.issuer.raw,
      serial: fromHex(certificate.serial),
      subjectKeyId: certificate.subjectKeyId === undefined ? undefined : fromHex(certificate.subjectKeyId),
    }),
  );
  const [leaf] = fits;
  if (leaf === undefined || fits.some((other) => !equalBytes(other.raw, leaf.raw))) {
    return refuse('cms-certificate', 'the CMS does not carry exactly one certificate of its signer', {
      signer: 'issuer' in cms.signer ? toHex(cms.signer.serial) : toHex(cms.signer.subjectKeyId),
    });
  }
  return leaf;
}

/** Each root has its own rules, so each is asked alone; the first refusal that is about more than the name speaks. */
function firstRoot(
  roots: readonly TrustedRoot[],
  check: (root: TrustedRoot) => void,
): { root: TrustedRoot; refusal: undefined } | { root: undefined; refusal: Refusal } {
  const refusals: Refusal[] = [];
  for (const root of roots) {
    try {
      check(root);
      return { root, refusal: undefined };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      refusals.push(error);
    }
  }
  const telling = refusals.find(({ check: id }) => id !== 'x509-untrusted') ?? refusals[0];
  return { root: undefined, refusal: telling ?? new Refusal('artifact-signature', 'no root is trusted') };
}

function checkUse(cms: CmsSignature, root: TrustedRoot, leaf: Certificate): void {
  const { algorithm, hash } = cms.signatureAlgorithm;
  const onlyPss = leaf.publicKey.algorithm === OID.rsassaPss && algorithm !== 'rsa-pss';
  if (onlyPss || !root.algorithms.includes(algorithm) || !root.hashes.includes(hash)) {
    refuse('artifact-algorithm', 'the root is not trusted with this algorithm and hash', { algorithm, hash });
  }
  if (root.subjects !== undefined && !root.subjects.includes(leaf.subject.text)) {
    refuse('cms-subject', 'the certificate’s subject is not a listed signer', { subject: leaf.subject.text });
  }
}
