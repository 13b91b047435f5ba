import { createHash } from 'node:crypto';
import { leafHash, parseLeaf, parseLogProof, verifyConsistency, verifyLogProof } from '../../audit/index.ts';
import type { DecisionLeaf, LeafPlace, UnverifiedLogProof } from '../../audit/index.ts';
import { fromBase64, fromBase64url, jcsSha256, refuse, toHex, utf8 } from '../../base/index.ts';
import { differing } from './own-decision.ts';
import type { ClaimedDecision, OwnDecision } from './own-decision.ts';

/** A leaf that is in the log, and what shows that the log only grew. */
export interface JudgedLeaf {
  readonly leaf: DecisionLeaf & LeafPlace;
  /** As the log signed it. */
  readonly checkpoint: Uint8Array;
  readonly consistency: readonly Uint8Array[];
}

/** What one kind of decision says besides. */
export interface LeafTerms {
  readonly purpose: 'execution' | 'attestation';
  /** Digest that the leaf has to name for what was authorized. */
  readonly authorization: string | null;
  /** Comparisons of that kind's own, by name. */
  readonly more: (leaf: DecisionLeaf) => Readonly<Record<string, boolean>>;
}

/**
 * A decision's leaf: an allow of this very request, evidence, key, boot and answer; in the log, whose checkpoint the pinned
 * log key signed (and witnesses, where the trust bundle names a quorum); and the log is the one that this host saw before,
 * grown.
 * @throws Refusal `answer-leaf`, `log-…`, `malformed`
 */
export function judgeLeaf(answer: ClaimedDecision, own: OwnDecision, terms: LeafTerms): JudgedLeaf {
  const bytes = fromBase64url(answer.leaf, 'leaf');
  const leaf = parseLeaf(bytes);
  if (leaf.kind !== 'decision' || leaf.purpose !== terms.purpose || leaf.outcome !== 'allow')
    return refuse('answer-leaf', `the leaf is not that of an allowed ${terms.purpose}`, { leaf: leaf.index });
  const proof = parseLogProof(utf8(answer.proof));
  const { log, witnesses } = own.trust;
  const quorum = witnesses === null ? {} : { quorum: witnesses };
  verifyLogProof(proof, { logKeys: log, leafHash: leafHash(bytes), ...quorum });
  const consistency = answer.consistency.map((hash) => fromBase64(hash, 'consistency'));
  requireGrown(proof, consistency, own);
  const differs = differing({
    ...requestComparisons(leaf, own),
    ...answerComparisons(leaf, answer, own),
    ...terms.more(leaf),
    authorization: leaf.digests.authorization === terms.authorization,
    index: leaf.index === String(proof.index),
  });
  if (differs.length > 0)
    refuse('answer-leaf', `the leaf is about something else: ${differs.join(', ')}`, { differs });
  return { leaf, checkpoint: proof.checkpoint, consistency };
}

/** No log but the one that this host remembers, and nothing of it gone. @throws Refusal `log-origin`, `log-consistency` */
function requireGrown(
  { claimed }: UnverifiedLogProof,
  proof: readonly Uint8Array[],
  { checkpoint }: OwnDecision,
): void {
  if (claimed.origin !== checkpoint.origin)
    refuse('log-origin', 'the checkpoint is of another log than the one before', { origin: claimed.origin });
  const { size, root } = claimed;
  verifyConsistency({ oldSize: checkpoint.size, oldRoot: checkpoint.root, size, root, proof });
}

/** What the leaf says was asked and by whom, against what was. */
function requestComparisons(leaf: DecisionLeaf, own: OwnDecision): Record<string, boolean> {
  return {
    hostId: leaf.hostId === own.hostId,
    request: leaf.digests.request === `sha256:${toHex(own.requestDigest)}`,
    ak: leaf.ak === own.akName,
    boot: leaf.boot.resetCount === own.boot.resetCount && leaf.boot.restartCount === own.boot.restartCount,
  };
}

/** What the leaf says was answered and presented, against what is at hand. */
function answerComparisons(
  { digests }: DecisionLeaf,
  { sealed, attestationResult }: ClaimedDecision,
  own: OwnDecision,
): Record<string, boolean> {
  const named = new Map(digests.evidence.map(({ name, sha256 }) => [name, sha256]));
  return {
    sealed: digests.sealed === (sealed === null ? null : `sha256:${toHex(jcsSha256(sealed))}`),
    'attestation-result': named.get('attestation-result') === textDigest(attestationResult),
    // Nothing else was looked at: evidence that somebody added is not this host's.
    evidence:
      digests.evidence.length === own.evidence.size + 1 &&
      [...own.evidence].every(([name, sha256]) => named.get(name) === `sha256:${sha256}`),
  };
}

/** `sha256:hex` of a text's UTF-8. */
export const textDigest = (text: string): string =>
  `sha256:${createHash('sha256').update(utf8(text)).digest('hex')}`;
