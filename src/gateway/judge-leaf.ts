import { createHash } from 'node:crypto';
import { leafHash, parseLeaf, parseLogProof, verifyConsistency, verifyLogProof } from '../audit/index.ts';
import type { DecisionLeaf, LeafPlace, UnverifiedLogProof } from '../audit/index.ts';
import { parseClaims } from '../authorization/index.ts';
import { fromBase64, fromBase64url, jcsSha256, refuse, toHex, utf8 } from '../base/index.ts';
import type { ClaimedAnswer } from './answer.ts';
import { differing } from './own-execution.ts';
import type { OwnExecution } from './own-execution.ts';

/** A leaf that is in the log, and what shows that the log only grew. */
export interface JudgedLeaf {
  readonly leaf: DecisionLeaf & LeafPlace;
  /** As the log signed it. */
  readonly checkpoint: Uint8Array;
  readonly consistency: readonly Uint8Array[];
}

/**
 * The decision's leaf: an allow of this very request, evidence, key, boot, artifact and answer; in the log, whose
 * checkpoint the pinned log key signed (and witnesses, where the trust bundle names a quorum); and the log is the one
 * that this host saw before, grown.
 * @throws Refusal `answer-leaf`, `log-…`, `malformed`
 */
export function judgeLeaf(answer: ClaimedAnswer, own: OwnExecution): JudgedLeaf {
  const bytes = fromBase64url(answer.leaf, 'leaf');
  const leaf = parseLeaf(bytes);
  if (leaf.kind !== 'decision' || leaf.purpose !== 'execution' || leaf.outcome !== 'allow')
    return refuse('answer-leaf', 'the leaf is not that of an allowed execution', { leaf: leaf.index });
  const proof = parseLogProof(utf8(answer.proof));
  const { log, witnesses } = own.trust;
  const quorum = witnesses === null ? {} : { quorum: witnesses };
  verifyLogProof(proof, { logKeys: log, leafHash: leafHash(bytes), ...quorum });
  const consistency = answer.consistency.map((hash) => fromBase64(hash, 'consistency'));
  requireGrown(proof, consistency, own);
  const differs = [
    ...differing(requestComparisons(leaf, own)),
    ...differing({ ...answerComparisons(leaf, answer, own), index: leaf.index === String(proof.index) }),
  ];
  if (differs.length > 0)
    refuse('answer-leaf', `the leaf is about something else: ${differs.join(', ')}`, { differs });
  return { leaf, checkpoint: proof.checkpoint, consistency };
}

/** No log but the one that this host remembers, and nothing of it gone. @throws Refusal `log-origin`, `log-consistency` */
function requireGrown(
  { claimed }: UnverifiedLogProof,
  proof: readonly Uint8Array[],
  { checkpoint }: OwnExecution,
): void {
  if (claimed.origin !== checkpoint.origin)
    refuse('log-origin', 'the checkpoint is of another log than the one before', { origin: claimed.origin });
  const { size, root } = claimed;
  verifyConsistency({ oldSize: checkpoint.size, oldRoot: checkpoint.root, size, root, proof });
}

/** What the leaf says was asked, against what was asked. */
function requestComparisons(leaf: DecisionLeaf, own: OwnExecution): Record<string, boolean> {
  const { request, quoted } = own;
  const { initiator } = request;
  return {
    hostId: leaf.hostId === request.hostId,
    execution: leaf.executions.length === 1 && leaf.executions[0] === request.executionId,
    parent: leaf.parent === parentOf(request.parent),
    request: leaf.digests.request === `sha256:${toHex(own.requestDigest)}`,
    artifact:
      leaf.artifact?.digest === request.artifact.digest && leaf.artifact.name === request.artifact.name,
    initiator: (leaf.initiator?.token ?? null) === (initiator === null ? null : textDigest(initiator)),
    ak: leaf.ak === own.akName,
    boot: leaf.boot.resetCount === quoted.resetCount && leaf.boot.restartCount === quoted.restartCount,
  };
}

/** What the leaf says was answered and presented, against what is at hand. */
function answerComparisons(
  { digests }: DecisionLeaf,
  answer: ClaimedAnswer,
  own: OwnExecution,
): Record<string, boolean> {
  const result = textDigest(answer.attestationResult);
  const named = new Map(digests.evidence.map(({ name, sha256 }) => [name, sha256]));
  return {
    authorization: digests.authorization === textDigest(answer.authorization),
    sealed: digests.sealed === `sha256:${toHex(jcsSha256(answer.sealed))}`,
    'attestation-result': named.get('attestation-result') === result,
    // Nothing else was looked at: evidence that somebody added is not this host's.
    evidence:
      digests.evidence.length === own.evidence.size + 1 &&
      [...own.evidence].every(([name, sha256]) => named.get(name) === `sha256:${sha256}`),
  };
}

/** The execution that a parent's authorization is of; its own verification is the verifier's. */
function parentOf(token: string | null): string | null {
  if (token === null) return null;
  return parseClaims(fromBase64url(token.split('.')[1] ?? '', 'parent')).client_id;
}

const textDigest = (text: string): string =>
  `sha256:${createHash('sha256').update(utf8(text)).digest('hex')}`;
