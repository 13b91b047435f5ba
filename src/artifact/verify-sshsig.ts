import { refuse } from '../base/index.ts';
import { NO_STATEMENT } from './claim.ts';
import type { Outcome } from './claim.ts';
import { verifySignature } from './keys.ts';
import { parseSshSignature, sshSignedData } from './sshsig.ts';
import type { ArtifactTrust } from './trust.ts';
import type { ContentDigests } from './types.ts';

/**
 * An SSHSIG over this artifact by a trusted key: the key, the namespace and the hashes are configured ones.
 * @throws Refusal `malformed`, `artifact-key`, `artifact-algorithm`, `artifact-signer`, `sshsig-namespace`,
 * `artifact-hash`, `artifact-signature`
 */
export function verifySshsig(bytes: Uint8Array, digests: ContentDigests, trust: ArtifactTrust): Outcome[] {
  const claimed = parseSshSignature(bytes);
  const key = claimed.publicKey.fingerprint;
  const known = trust.keys.filter(
    (signer) => signer.key.fingerprint === key && signer.formats.includes('ssh'),
  );
  if (known.length === 0)
    refuse('artifact-signer', 'the key of this SSHSIG is not trusted for SSH signatures', { key });
  const signers = known.filter(
    ({ algorithm, hashes }) =>
      algorithm === claimed.algorithm &&
      hashes.includes(claimed.hash) &&
      (algorithm === 'ed25519' || hashes.includes(claimed.signatureHash)),
  );
  const [first] = signers;
  if (first === undefined)
    return refuse('artifact-algorithm', 'the key is not trusted with this algorithm and hash', { key });
  const { namespace, hash, signatureHash, algorithm } = claimed;
  if (!trust.namespaces.includes(namespace)) {
    refuse('sshsig-namespace', 'the signature was made for another namespace', { namespace });
  }
  const digest = digests[hash];
  if (digest === undefined)
    return refuse('artifact-hash', `the content’s ${hash} is not at hand: sign with SHA-256`, { hash });
  const data = sshSignedData(namespace, hash, digest);
  const how = { algorithm, hash: signatureHash, encoding: 'ieee-p1363' } as const;
  // With the trusted key, never with the one that came along.
  if (!verifySignature(first.key, how, data, claimed.signature)) {
    refuse('artifact-signature', 'the SSHSIG does not verify over this artifact', { key });
  }
  return signers.map((signer) => ({ key, format: 'ssh', signer, ...NO_STATEMENT }));
}
