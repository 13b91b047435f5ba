import { isJsonObject, jcsSha256, refuse, shape, toHex } from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';
import { raiseHighWater } from '../policy/index.ts';
import type { PolicyHighWater } from '../policy/index.ts';
import { judgeOwnCertificate } from './enrollment-answer.ts';
import { judgeLeaf } from './judge/leaf.ts';
import type { OwnDecision } from './judge/own-decision.ts';
import { judgePolicy, requireLeafUnder } from './judge/policy.ts';
import { judgeRenewals } from './judge/renewal.ts';
import type { Renewable, RenewedToken } from './judge/renewal.ts';
import { judgeResult } from './judge/result.ts';

/** What the host knows by itself about the attestation that it sent. */
export interface OwnAttestation extends OwnDecision {
  /** Hex SHA-256 of the SPKI of the agent's key. */
  readonly agentKeyId: string;
  /** Executions that were named in the request, with what they may do now. */
  readonly executions: readonly Renewable[];
}

/** An answer in which everything fits together. */
export interface JudgedAttestation {
  /** Index of the decision's leaf. */
  readonly auditIndex: string;
  /** As the log signed it. */
  readonly checkpoint: Uint8Array;
  readonly consistency: readonly Uint8Array[];
  /** The EAR, a JWT. */
  readonly attestationResult: string;
  readonly resultClaims: JsonObject;
  /** A renewed agent certificate. */
  readonly certificatePem: string | null;
  readonly policy: PolicyHighWater;
  /** Its signed manifest, DSSE. */
  readonly policyManifest: JsonObject;
  /** Renewed authorizations, in the request's order. */
  readonly renewed: readonly RenewedToken[];
  readonly ended: readonly { readonly executionId: string; readonly denial: JsonObject }[];
  /** Executions for which the answer had no room: to be named again. */
  readonly deferred: readonly string[];
  /** As received; `checkSealed` judges it. */
  readonly sealed: JsonObject | null;
}

const { base64url, list, nullable, object, text } = shape;
const fail: Fail = (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path });
const anyObject: Shape<JsonObject> = (value, path, no) =>
  isJsonObject(value) ? value : no(path, 'an object');
const token = text({ max: 64 * 1024 });
const answerShape = object({
  leaf: base64url(90_000),
  proof: text({ max: 256 * 1024 }),
  consistency: list(text({ max: 64 }), 128),
  attestationResult: token,
  agentCertificatePem: nullable(text({ max: 64 * 1024 })),
  policyManifest: anyObject,
  authorizations: list(token, 256),
  ended: list(object({ executionId: text({ max: 64 }), denial: anyObject }), 256),
  deferred: list(text({ max: 64 }), 256),
  sealed: nullable(anyObject),
});

/**
 * Judges the answer to a host attestation by what the host itself knows (PROTOCOL 9), by the same rules as an execution's:
 * the leaf is an allow of this very request, evidence, key and boot, and is in the log, which only grew; the result is
 * signed and about this nonce; the policy is signed by the pinned authorities and not an older one; renewed authorizations
 * are those of before in all but their time; a new certificate is for this host and key.
 * @throws Refusal `verifier-answer`, `answer-…`, `log-…`, `signature_invalid`, `policy-…`, `expired`,
 *   `par_hash_mismatch`, `agent-certificate`, `malformed`
 */
export async function judgeAttestation(body: JsonObject, own: OwnAttestation): Promise<JudgedAttestation> {
  const answer = answerShape(body, 'answer', fail);
  const named = own.executions.map(({ claims }) => claims.client_id);
  const { authorizations, ended, deferred, agentCertificatePem, attestationResult } = answer;
  const { leaf, checkpoint, consistency } = judgeLeaf(answer, own, {
    purpose: 'attestation',
    authorization: authorizations.length === 0 ? null : `sha256:${toHex(jcsSha256([...authorizations]))}`,
    more: ({ executions }) => ({ executions: executions.every((id) => named.includes(id)) }),
  });
  const manifest = judgePolicy(answer.policyManifest, own);
  requireLeafUnder(manifest, { leaf, checkpoint });
  const resultClaims = await judgeResult(attestationResult, own);
  const renewed = await judgeRenewals(authorizations, own.executions, leaf, own);
  requireEachOnce([...[...renewed, ...ended].map(({ executionId }) => executionId), ...deferred], named);
  // Or the host would ask for ever.
  if (deferred.length > 0 && deferred.length === named.length) fail('answer.deferred', 'some of those named');
  if (agentCertificatePem !== null) judgeOwnCertificate(agentCertificatePem, own.trust, own);
  return {
    auditIndex: leaf.index,
    ...{ checkpoint, consistency, attestationResult, resultClaims, renewed, ended, deferred },
    certificatePem: agentCertificatePem,
    policy: raiseHighWater(manifest),
    policyManifest: answer.policyManifest,
    sealed: answer.sealed,
  };
}

function requireEachOnce(answered: readonly string[], named: readonly string[]): void {
  const ids = new Set(answered);
  const same = ids.size === answered.length && ids.size === named.length && named.every((id) => ids.has(id));
  if (!same) fail('answer.ended', 'each execution that was asked for, renewed, ended or deferred, once');
}
