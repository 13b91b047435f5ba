import { createHash } from 'node:crypto';
import { leafHash, parseLeaf, parseLogProof, verifyLogProof } from '../audit/index.ts';
import type { DecisionLeaf } from '../audit/index.ts';
import { CLAIMS_LIMITS, AUTHORIZATION_TYPE, parseClaims, verifyJws } from '../authorization/index.ts';
import {
  fromBase64,
  fromBase64url,
  isJsonObject,
  jcsSha256,
  parseJsonObject,
  refuse,
  shape,
  toHex,
  utf8,
} from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';
import { hostSpiffeId } from '../credential/index.ts';
import type { BootCounters } from '../evidence/index.ts';
import { raiseHighWater, verifyManifest } from '../policy/index.ts';
import type { PolicyHighWater, VerifiedTrustBundle } from '../policy/index.ts';
import { judgeOwnCertificate } from './enrollment-answer.ts';

/** What the host knows by itself about the attestation that it sent. */
export interface OwnAttestation {
  readonly trust: VerifiedTrustBundle;
  readonly hostId: string;
  /** TPM name of the AK, hex. */
  readonly akName: string;
  /** Hex SHA-256 of the SPKI of the agent's key, and its RFC 7638 thumbprint. */
  readonly agentKeyId: string;
  readonly agentThumbprint: string;
  readonly nonce: string;
  /** SHA-256(JCS(request)): 32 bytes. */
  readonly requestDigest: Uint8Array;
  readonly boot: BootCounters;
  /** Hex SHA-256 of each evidence record by name. */
  readonly evidence: ReadonlyMap<string, string>;
  /** Executions that were named in the request. */
  readonly executions: readonly string[];
  readonly policySeen: PolicyHighWater | undefined;
  /** Unix ms. */
  readonly now: number;
}

/** An answer in which everything fits together. */
export interface JudgedAttestation {
  /** Index of the decision's leaf. */
  readonly auditIndex: string;
  /** As the log signed it: still to be compared with the checkpoint before. */
  readonly checkpoint: Uint8Array;
  readonly consistency: readonly Uint8Array[];
  /** The EAR, a JWT. */
  readonly attestationResult: string;
  readonly resultClaims: JsonObject;
  /** A renewed agent certificate. */
  readonly certificatePem: string | null;
  readonly policy: PolicyHighWater;
  /** Renewed authorizations, in the request's order. */
  readonly renewed: readonly {
    readonly executionId: string;
    readonly jti: string;
    readonly authorization: string;
  }[];
  readonly ended: readonly { readonly executionId: string; readonly denial: JsonObject }[];
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
  sealed: nullable(anyObject),
});
type Answer = ReturnType<typeof answerShape>;

/**
 * Judges the answer to a host attestation by what the host itself knows (PROTOCOL 9): the leaf is an allow of this very
 * request, evidence, key and boot, and is in the log; the result is signed and about this nonce; the policy is signed by
 * the pinned authorities and not an older one; authorizations are of executions that were asked for; a new certificate is
 * for this host and key.
 * @throws Refusal `verifier-answer`, `log-…`, `signature_invalid`, `policy-…`, `agent-certificate`, `malformed`
 */
export async function judgeAttestation(body: JsonObject, own: OwnAttestation): Promise<JudgedAttestation> {
  const answer = answerShape(body, 'answer', fail);
  const { leaf, index, checkpoint } = judgeLeaf(answer, own);
  const policy = judgePolicy(answer, leaf, own);
  const resultClaims = await judgeResult(answer.attestationResult, own);
  const renewed = await judgeAuthorizations(answer.authorizations, own, leaf);
  const named = new Set([...renewed, ...answer.ended].map(({ executionId }) => executionId));
  if (named.size !== renewed.length + answer.ended.length || !sameSet(named, own.executions))
    fail('answer.ended', 'each execution that was asked for, renewed or ended, once');
  if (answer.agentCertificatePem !== null) judgeOwnCertificate(answer.agentCertificatePem, own.trust, own);
  return {
    auditIndex: index,
    checkpoint,
    consistency: answer.consistency.map((hash) => fromBase64(hash, 'consistency')),
    attestationResult: answer.attestationResult,
    resultClaims,
    certificatePem: answer.agentCertificatePem,
    policy,
    renewed,
    ended: answer.ended,
    sealed: answer.sealed,
  };
}

function judgeLeaf(
  answer: Answer,
  own: OwnAttestation,
): { readonly leaf: DecisionLeaf; readonly index: string; readonly checkpoint: Uint8Array } {
  const bytes = fromBase64url(answer.leaf, 'leaf');
  const leaf = parseLeaf(bytes);
  const proof = parseLogProof(utf8(answer.proof));
  const { log, witnesses } = own.trust;
  verifyLogProof(proof, {
    logKeys: log,
    leafHash: leafHash(bytes),
    ...(witnesses === null ? {} : { quorum: witnesses }),
  });
  if (leaf.kind !== 'decision' || leaf.purpose !== 'attestation' || leaf.outcome !== 'allow')
    return refuse('verifier-answer', 'the leaf is not that of an allowed attestation', { leaf: leaf.index });
  const evidence = new Map(leaf.digests.evidence.map(({ name, sha256 }) => [name, sha256]));
  const result = `sha256:${sha256(answer.attestationResult)}`;
  const sealed = answer.sealed === null ? null : `sha256:${toHex(jcsSha256(answer.sealed))}`;
  const { authorizations } = answer;
  const authorization =
    authorizations.length === 0 ? null : `sha256:${toHex(jcsSha256([...authorizations]))}`;
  const differs = [
    ['index', leaf.index === String(proof.index)],
    ['hostId', leaf.hostId === own.hostId],
    ['request', leaf.digests.request === `sha256:${toHex(own.requestDigest)}`],
    ['ak', leaf.ak === own.akName],
    [
      'boot',
      leaf.boot.resetCount === own.boot.resetCount && leaf.boot.restartCount === own.boot.restartCount,
    ],
    ['authorization', leaf.digests.authorization === authorization],
    ['sealed', leaf.digests.sealed === sealed],
    ['attestation-result', evidence.get('attestation-result') === result],
    // Nothing else was looked at: evidence that somebody added is not this host's.
    [
      'evidence',
      leaf.digests.evidence.length === own.evidence.size + 1 &&
        [...own.evidence].every(([name, digest]) => evidence.get(name) === `sha256:${digest}`),
    ],
    ['executions', leaf.executions.every((id) => own.executions.includes(id))],
  ].flatMap(([name, same]) => (same === true ? [] : [String(name)]));
  if (differs.length > 0)
    refuse('verifier-answer', `the leaf is about something else: ${differs.join(', ')}`, { differs });
  return { leaf, index: leaf.index, checkpoint: proof.checkpoint };
}

function judgePolicy(answer: Answer, leaf: DecisionLeaf, own: OwnAttestation): PolicyHighWater {
  const { authorities, trustDomain } = own.trust;
  const verified = verifyManifest(
    utf8(JSON.stringify(answer.policyManifest)),
    { authorities, trustDomain, highest: own.policySeen },
    { now: () => own.now },
  );
  const policy = raiseHighWater(verified);
  if (leaf.policy?.digest !== policy.hash || leaf.policy.version !== policy.version)
    refuse('verifier-answer', 'the leaf names another policy than the manifest', { policy: policy.hash });
  return policy;
}

/** `typ` of an EAR. */
const RESULT_TYPE = 'eat+jwt';

/** The result is signed by the EAR key and about this host, this nonce and this agent. */
async function judgeResult(result: string, own: OwnAttestation): Promise<JsonObject> {
  const payload = await verifyJws(result, RESULT_TYPE, own.trust.keys.ear, 64 * 1024);
  const claims = parseJsonObject(payload, 'attestation result', { maxBytes: 64 * 1024, maxDepth: 8 });
  const { aud, eat_nonce: nonce, exp, cnf } = claims;
  if (aud !== audienceOf(own) || nonce !== own.nonce)
    refuse('verifier-answer', 'the attestation result is for another host or nonce');
  if (!isJsonObject(cnf) || cnf['jkt'] !== own.agentThumbprint)
    refuse('verifier-answer', 'the attestation result is about another key');
  if (typeof exp !== 'number' || own.now >= exp * 1000)
    refuse('verifier-answer', 'the attestation result has ended');
  return claims;
}

async function judgeAuthorizations(
  tokens: readonly string[],
  own: OwnAttestation,
  leaf: DecisionLeaf,
): Promise<JudgedAttestation['renewed']> {
  const renewed = [];
  for (const authorization of tokens) {
    const { keys, trustDomain } = own.trust;
    const payload = await verifyJws(
      authorization,
      AUTHORIZATION_TYPE,
      keys.authorization,
      CLAIMS_LIMITS.maxBytes,
    );
    const claims = parseClaims(payload);
    const { client_id: executionId, jti } = claims;
    const right =
      claims.iss === own.trust.issuer &&
      claims.gov.trust_domain === trustDomain &&
      claims.aud === audienceOf(own) &&
      claims.eat_nonce === own.nonce &&
      claims.policy.digest === leaf.policy?.digest &&
      claims.authorization_details[0].host === own.hostId &&
      claims.exp * 1000 > own.now;
    if (!right || !own.executions.includes(executionId) || !leaf.executions.includes(executionId))
      refuse('verifier-answer', 'a renewed authorization is not one that was asked for', { executionId });
    renewed.push({ executionId, jti, authorization });
  }
  return renewed;
}

const audienceOf = ({ trust, hostId }: OwnAttestation): string => hostSpiffeId(trust.trustDomain, hostId);

const sameSet = (set: ReadonlySet<string>, listed: readonly string[]): boolean =>
  set.size === new Set(listed).size && listed.every((one) => set.has(one));

const sha256 = (value: string): string => createHash('sha256').update(utf8(value)).digest('hex');
