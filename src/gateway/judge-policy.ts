import { verifyArtifact } from '../artifact/index.ts';
import { fromBase64url, fromHex, refuse, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { verifyManifest } from '../policy/index.ts';
import type { VerifiedManifest } from '../policy/index.ts';
import type { OwnExecution } from './own-execution.ts';

/**
 * The policy that decided, by those who may make policy: signed by the pinned authorities, of this domain, in its time, no
 * older than any seen, and the one that the request was made for.
 * @throws Refusal `answer-policy`, `policy-…`, `trust-document`, `malformed`
 */
export function judgePolicy(manifest: JsonObject, own: OwnExecution): VerifiedManifest {
  const { authorities, trustDomain } = own.trust;
  const verified = verifyManifest(
    utf8(JSON.stringify(manifest)),
    { authorities, trustDomain, highest: own.policySeen },
    { now: () => own.now },
  );
  const { hash } = verified.manifest;
  if (hash !== own.request.policyHash)
    refuse('answer-policy', 'the answer is under another policy than the one that was asked under', {
      policy: hash,
      asked: own.request.policyHash,
    });
  return verified;
}

/**
 * The artifact again, by the signed policy's own trust document: a verifier that lies about signatures is found out here.
 * @throws Refusal those of src/artifact; `artifact-name`
 */
export function judgeArtifact({ artifactTrust }: VerifiedManifest, { request, now }: OwnExecution): void {
  const { artifact } = request;
  const envelopes = artifact.signatures.map(({ format, data }) => ({
    format,
    bytes: fromBase64url(data, 'signature'),
  }));
  const sha256 = fromHex(artifact.digest.slice('sha256:'.length));
  const { name } = verifyArtifact({ digests: { sha256 }, envelopes }, artifactTrust, { now: () => now });
  if (name !== artifact.name)
    refuse('artifact-name', 'not signed under the name that it was asked for by', { name });
}
