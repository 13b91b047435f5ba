import type { JudgedLeaf } from '../agent/judge/leaf.ts';
import { judgePolicy, requireLeafUnder } from '../agent/judge/policy.ts';
import { judgeResult } from '../agent/judge/result.ts';
import type { AuthorizationClaims } from '../authorization/index.ts';
import { fromBase64url } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { checkSealed, parseSealed } from '../credential/index.ts';
import type { ReleaseBinding } from '../credential/index.ts';
import { raiseHighWater } from '../policy/index.ts';
import type { PolicyHighWater } from '../policy/index.ts';
import type { SealedObject } from '../tpm/index.ts';
import { parseAnswer } from './answer.ts';
import { judgeExecutionLeaf, judgeFirst } from './judge-execution.ts';
import { judgeArtifact } from './judge-policy.ts';
import { decisionOf } from './delegate/own-execution.ts';
import type { OwnExecution } from './delegate/own-execution.ts';

declare const verified: unique symbol;

/** An answer in which everything holds; only {@link verifyAnswer} makes one. Without it nothing is opened or run. */
export interface VerifiedAnswer {
  readonly [verified]: true;
  /** Index of the decision's leaf, decimal. */
  readonly auditIndex: string;
  readonly log: Pick<JudgedLeaf, 'checkpoint' | 'consistency'>;
  readonly policy: PolicyHighWater;
  /** Its signed manifest, DSSE. */
  readonly policyManifest: JsonObject;
  /** The authorization artifact and what it says. */
  readonly authorization: { readonly token: string; readonly claims: AuthorizationClaims };
  /** The EAR, a JWT. */
  readonly attestationResult: string;
  /** What the TPM opens, and the credentials that it opens. */
  readonly sealed: { readonly object: SealedObject; readonly jwe: string; readonly binding: ReleaseBinding };
}

/**
 * Everything that a gateway checks before anything runs (PROTOCOL 9), over the answer of `POST /v1/executions` and what it
 * holds itself. The verifier's word alone counts for nothing: policy is the authorities', the artifact is its signers',
 * the decision is in a log that only grew, and the sealed object's policy is recomputed from the host's own quote.
 * @throws Refusal; then nothing runs
 */
export async function verifyAnswer(body: JsonObject, own: OwnExecution): Promise<VerifiedAnswer> {
  const answer = parseAnswer(body);
  const decision = decisionOf(own);
  const manifest = judgePolicy(answer.policyManifest, decision, own.request.policyHash);
  judgeArtifact(manifest, own.request.artifact, own.now);
  const { leaf, checkpoint, consistency } = judgeExecutionLeaf(answer, own);
  requireLeafUnder(manifest, { leaf, checkpoint });
  const claims = await judgeFirst(answer.authorization, leaf, own);
  await judgeResult(answer.attestationResult, decision);
  const { request, requestDigest, quoted, quotedPcr } = own;
  const binding: ReleaseBinding = {
    kind: 'release',
    executionId: request.executionId,
    requestDigest,
    jti: claims.jti,
  };
  const sealed = parseSealed(answer.sealed);
  const nonceTpm = fromBase64url(request.nonceTPM, 'nonceTPM');
  const object = checkSealed(sealed, { binding, nonceTpm, quoted, quotedPcr });
  return {
    auditIndex: leaf.index,
    log: { checkpoint, consistency },
    policy: raiseHighWater(manifest),
    policyManifest: answer.policyManifest,
    authorization: { token: answer.authorization, claims },
    attestationResult: answer.attestationResult,
    sealed: { object, jwe: sealed.jwe, binding },
    // The brand exists in the type system only; this is the one place that gives it.
  } as unknown as VerifiedAnswer;
}
