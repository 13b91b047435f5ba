import { leafHash, parseLeaf, parseLogProof, verifyLogProof } from '../audit/index.ts';
import type { AuditLeaf } from '../audit/index.ts';
import { refuse, shape, utf8 } from '../base/index.ts';
import type { Fail, JsonObject, JsonValue } from '../base/index.ts';
import { judgeAgentCertificate } from '../enrollment/index.ts';
import type { VerifiedTrustBundle } from '../policy/index.ts';
import { parseCertificate, parsePem, parseSpiffeId, subjectNames } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import { verifyEnvelopes } from './trust-memory.ts';
import type { TrustEnvelopes } from './trust-memory.ts';

/** What a host knows by itself about the enrollment that it asked for. */
export interface EnrolledAs {
  readonly hostId: string;
  /** TPM name of the AK, hex. */
  readonly akName: string;
  /** Hex SHA-256 of the SPKI of the agent's key. */
  readonly agentKeyId: string;
  /** Unix ms. */
  readonly now: number;
}

/** An answer in which everything fits together: what the state directory keeps. */
export interface AcceptedEnrollment {
  readonly trustDomain: string;
  readonly certificatePem: string;
  readonly envelopes: TrustEnvelopes;
  readonly trust: VerifiedTrustBundle;
  /** The first checkpoint that this host knows, as the log signed it. */
  readonly checkpoint: Uint8Array;
}

const { hex32, list, object, oneOf, text } = shape;
const anyValue = (value: JsonValue): JsonValue => value;
const fail: Fail = (path, want) => refuse('enroll-answer', `${path} is not ${want}`, { member: path });

const answerShape = object({
  state: oneOf('active'),
  hostId: hex32,
  agentCertificatePem: text({ max: 64 * 1024 }),
  trustBundles: list(anyValue, 4096, 1),
  leaf: text({ max: 65_536 }),
  proof: text({ max: 256 * 1024 }),
});

/**
 * Judges the answer to an activation: a trust bundle chain from version 1, which is pinned by this; a certificate of its
 * agent CA for this host and this key; a leaf of its log that says so, with a proof in a checkpoint that the log signed.
 * @throws Refusal `enroll-answer`, `trust-bundle-…`, `agent-certificate`, `x509-…`, `log-…`
 */
export function judgeEnrollmentAnswer(body: JsonObject, own: EnrolledAs): AcceptedEnrollment {
  const answer = answerShape(body, 'answer', fail);
  if (answer.hostId !== own.hostId)
    refuse('enroll-answer', 'the answer is for another host', { hostId: answer.hostId });
  const certificate = onlyCertificate(answer.agentCertificatePem);
  const trustDomain = domainOf(certificate);
  const trust = verifyEnvelopes(answer.trustBundles, trustDomain);
  judgeOwnCertificate(answer.agentCertificatePem, trust, own);
  const { checkpoint } = judgeProof(answer.leaf, answer.proof, trust, own);
  return {
    trustDomain,
    certificatePem: answer.agentCertificatePem,
    envelopes: answer.trustBundles,
    trust,
    checkpoint,
  };
}

/**
 * An agent certificate, new or renewed: of an agent CA of the trust bundle, for this host and this key.
 * @throws Refusal `agent-certificate`, `x509-…`, `malformed`
 */
export function judgeOwnCertificate(
  pem: string,
  trust: VerifiedTrustBundle,
  { hostId, agentKeyId, now }: Pick<EnrolledAs, 'hostId' | 'agentKeyId' | 'now'>,
): void {
  const anchors = trust.cas.agent.map((ca) => parseCertificate(ca));
  const agent = judgeAgentCertificate(onlyCertificate(pem), anchors, trust.trustDomain, now);
  if (agent.hostId !== hostId || agent.keyId !== agentKeyId || agent.expired)
    refuse('agent-certificate', 'the certificate is not one for this host’s agent and key, valid now', {
      hostId: agent.hostId,
      expired: agent.expired,
    });
}

function onlyCertificate(pem: string): Certificate {
  const [der, ...more] = parsePem(utf8(pem));
  if (der === undefined || more.length > 0) return fail('answer.agentCertificatePem', 'one certificate');
  return parseCertificate(der);
}

/** The trust domain that the certificate names; whether it may is judged against the trust bundle. */
function domainOf(certificate: Certificate): string {
  const [uri = ''] = subjectNames(certificate).uris;
  return parseSpiffeId(uri).trustDomain;
}

function judgeProof(
  leafText: string,
  proofText: string,
  trust: VerifiedTrustBundle,
  own: EnrolledAs,
): { readonly checkpoint: Uint8Array } {
  const bytes = utf8(leafText);
  const leaf = parseLeaf(bytes);
  const proof = parseLogProof(utf8(proofText));
  verifyLogProof(proof, {
    logKeys: trust.log,
    leafHash: leafHash(bytes),
    ...(trust.witnesses === null ? {} : { quorum: trust.witnesses }),
  });
  if (leaf.index !== String(proof.index) || !isAbout(leaf, own))
    refuse('enroll-answer', 'the leaf is not the one that made this host what it is', { leaf: leaf.index });
  return proof;
}

/** The leaf that wrote the host's record last: its enrollment, its approval, or what an operator said of it since. */
function isAbout(leaf: AuditLeaf, { hostId, akName }: EnrolledAs): boolean {
  switch (leaf.kind) {
    case 'enrollment':
      return leaf.outcome === 'allow' && leaf.hostId === hostId && leaf.ak === akName;
    case 'transition':
      return leaf.hostId === hostId && leaf.to === 'active';
    case 'operator':
      return leaf.target === hostId;
    default:
      return false;
  }
}
