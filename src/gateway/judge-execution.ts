import { judgeAuthorization, openAuthorization } from '../agent/judge/authorization.ts';
import { judgeLeaf, textDigest } from '../agent/judge/leaf.ts';
import type { JudgedLeaf } from '../agent/judge/leaf.ts';
import { audienceOf } from '../agent/judge/own-decision.ts';
import type { DecisionLeaf } from '../audit/index.ts';
import { parseClaims, requireChildOf, requireRoot } from '../authorization/index.ts';
import type { AuthorizationClaims } from '../authorization/index.ts';
import { fromBase64url } from '../base/index.ts';
import type { ClaimedAnswer } from './answer.ts';
import { decisionOf } from './delegate/own-execution.ts';
import type { OwnExecution } from './delegate/own-execution.ts';

/** The decision's leaf: besides what any leaf says, of this one execution, artifact, parent and initiator. */
export function judgeExecutionLeaf(answer: ClaimedAnswer, own: OwnExecution): JudgedLeaf {
  return judgeLeaf(answer, decisionOf(own), {
    purpose: 'execution',
    authorization: textDigest(answer.authorization),
    more: (leaf) => askedComparisons(leaf, own),
  });
}

/** What the leaf says was asked, against what was asked. */
function askedComparisons(leaf: DecisionLeaf, { request }: OwnExecution): Record<string, boolean> {
  const { initiator, artifact, parent } = request;
  return {
    execution: leaf.executions.length === 1 && leaf.executions[0] === request.executionId,
    // The parent's own verification is the verifier's.
    parent: leaf.parent === (parent === null ? null : claimsOf(parent).client_id),
    artifact: leaf.artifact?.digest === artifact.digest && leaf.artifact.name === artifact.name,
    initiator: (leaf.initiator?.token ?? null) === (initiator === null ? null : textDigest(initiator)),
  };
}

/**
 * The authorization artifact: what any has to be, and the first of a chain or the next after the parent that was named.
 * @throws Refusal `signature_invalid`, `authorization-form`, `answer-authorization`, `expired`, `depth_invalid`,
 *   `par_hash_mismatch`, `principal_altered`, `not_narrower`, `ceiling_exceeded`
 */
export async function judgeFirst(
  token: string,
  leaf: DecisionLeaf,
  own: OwnExecution,
): Promise<AuthorizationClaims> {
  const { request, workloadThumbprint: workload } = own;
  const { executionId, artifact, scopes, parent } = request;
  const decision = decisionOf(own);
  const claims = await openAuthorization(token, decision);
  const expected = { executionId, workload, artifact: artifact.digest, scopes };
  const root = parent === null;
  judgeAuthorization(claims, leaf, decision, expected, {
    // Who starts a chain is its own lineage's root; a child's is compared with its parent's.
    lineage: !root || claims.txn === executionId,
    // Without an initiator or parent the host itself answers for it.
    origin: !root || request.initiator !== null || claims.sub === audienceOf(decision),
  });
  if (parent === null) requireRoot(claims);
  // The parent came with the request, from who asked: its rights count as the verifier signed them.
  else requireChildOf({ token: parent, claims: await openAuthorization(parent, decision) }, claims);
  return claims;
}

/** Only to see which execution it names. */
const claimsOf = (token: string): AuthorizationClaims =>
  parseClaims(fromBase64url(token.split('.')[1] ?? '', 'parent'));
