import { refuse, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { demandedQuorum, verifyManifest } from '../../policy/index.ts';
import type { VerifiedManifest } from '../../policy/index.ts';
import { parseCheckpoint, verifyQuorum } from '../../audit/index.ts';
import type { JudgedLeaf } from './leaf.ts';
import type { OwnDecision } from './own-decision.ts';

/**
 * The policy that decided, by those who may make policy: signed by the pinned authorities, of this domain, in its time, no
 * older than any seen.
 * @param asked hash of the policy that the request was made for, where it names one
 * @throws Refusal `answer-policy`, `policy-…`, `trust-document`, `malformed`
 */
export function judgePolicy(manifest: JsonObject, own: OwnDecision, asked?: string): VerifiedManifest {
  const { authorities, trustDomain } = own.trust;
  const verified = verifyManifest(
    utf8(JSON.stringify(manifest)),
    { authorities, trustDomain, highest: own.policySeen },
    { now: () => own.now },
  );
  const { hash } = verified.manifest;
  if (asked !== undefined && hash !== asked)
    refuse('answer-policy', 'the answer is under another policy than the one that was asked under', {
      policy: hash,
      asked,
    });
  return verified;
}

/**
 * The leaf is a decision under this policy, in a checkpoint that witnesses cosigned where the policy asks for them.
 * @throws Refusal `answer-leaf`, `log-witnesses`, `log-signature`, `log-origin`
 */
export function requireLeafUnder(
  { manifest: { hash, version }, witnessed }: VerifiedManifest,
  { leaf, checkpoint }: Pick<JudgedLeaf, 'leaf' | 'checkpoint'>,
): void {
  if (leaf.policy?.digest !== hash || leaf.policy.version !== version)
    refuse('answer-leaf', 'the leaf names another policy than the manifest', { policy: hash });
  const quorum = demandedQuorum(witnessed, {
    action: leaf.purpose,
    artifact: leaf.artifact?.name ?? null,
  });
  if (quorum !== null) verifyQuorum(parseCheckpoint(checkpoint), quorum);
}
