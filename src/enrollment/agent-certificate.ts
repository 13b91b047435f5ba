import type { KeyObject } from 'node:crypto';
import type { Random } from '../base/index.ts';
import { fromBase64url, refuse } from '../base/index.ts';
import {
  issueCertificate,
  parseCertificate,
  parseSpiffeId,
  randomSerial,
  tlsClientProfile,
  verifyPath,
} from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import type { HostRecord } from './host-record.ts';

/** How long an agent certificate is good for, in milliseconds; attestation renews it. */
export const AGENT_CERTIFICATE_LIFETIME_MS = 24 * 3_600_000;
/** The agent refuses a verifier whose clock differs by more than 30 s; up to that it must not be in the future. */
const BACKDATE_MS = 60_000;

/** The agent CA. */
export interface AgentIssuer {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly key: KeyObject;
  readonly trustDomain: string;
}

/** The name of a host's agent: the one host that it may speak for. */
export function agentUri(trustDomain: string, hostId: string): string {
  return `spiffe://${trustDomain}/sealgate/agent/${hostId}`;
}

/**
 * Issues a TLS client certificate for an active host's agent key: 24 h, or until the agent CA ends.
 * @param now Unix ms
 * @throws Refusal `host-revoked`, `host-state`, `agent-certificate` when the agent CA has ended
 */
export function issueAgentCertificate(
  host: HostRecord,
  issuer: AgentIssuer,
  now: number,
  random: Random,
): Uint8Array {
  if (host.state === 'revoked') refuse('host-revoked', 'the host was revoked');
  if (host.state !== 'active')
    refuse('host-state', `no agent certificate is issued while the host is ${host.state}`);
  const ca = parseCertificate(issuer.certificate);
  if (now >= ca.notAfter) refuse('agent-certificate', 'the agent CA has ended', { notAfter: ca.notAfter });
  return issueCertificate({
    subject: { commonName: host.name },
    publicKey: fromBase64url(host.agent.public, 'agent key'),
    issuer: { certificate: issuer.certificate, key: issuer.key },
    serial: randomSerial(random),
    notBefore: Math.max(now - BACKDATE_MS, ca.notBefore),
    notAfter: Math.min(now + AGENT_CERTIFICATE_LIFETIME_MS, ca.notAfter),
    purpose: { kind: 'tls-client', uri: agentUri(issuer.trustDomain, host.hostId) },
  });
}

/** Who presents an agent certificate. */
export interface PresentedAgent {
  readonly hostId: string;
  /** Hex SHA-256 of the key's SPKI. */
  readonly keyId: string;
  /** True: only for asking a challenge and attesting the host, which renews it. */
  readonly expired: boolean;
}

/**
 * Judges a presented agent certificate. An expired one is accepted as expired: a host that was off for a day has to be
 * able to come back by attestation.
 * @param anchors the agent CAs
 * @throws Refusal `agent-certificate`, `x509-…`, `spiffe-id`
 */
export function judgeAgentCertificate(
  leaf: Certificate,
  anchors: readonly Certificate[],
  trustDomain: string,
  now: number,
): PresentedAgent {
  const expired = now > leaf.notAfter;
  const at = expired ? leaf.notAfter : now;
  const path = verifyPath({ leaf, anchors, now: at, profile: tlsClientProfile });
  if (now > path.anchor.notAfter) refuse('agent-certificate', 'the agent CA of the certificate has ended');
  const [uri, ...more] = path.findings.uris;
  if (uri === undefined || more.length > 0)
    return refuse('agent-certificate', 'the certificate doesn’t name exactly one agent');
  // An operator's name, say: not an agent's, and no malformed one either.
  if (!uri.startsWith('spiffe://'))
    return refuse('agent-certificate', 'the certificate is not of an agent of this trust domain', { uri });
  const id = parseSpiffeId(uri);
  const hostId = /^\/sealgate\/agent\/([0-9a-f]{64})$/.exec(id.path)?.[1];
  if (id.trustDomain !== trustDomain || hostId === undefined)
    return refuse('agent-certificate', 'the certificate is not of an agent of this trust domain', { uri });
  return { hostId, keyId: leaf.publicKey.keyId, expired };
}

/**
 * What the agent may do by its host's standing now: everything, or only challenge and host attestation.
 * @throws Refusal `agent-certificate` for another host's or a replaced key, `host-pending`, `host-revoked`
 */
export function agentAccess(agent: PresentedAgent, host: HostRecord): 'full' | 'attestation-only' {
  if (agent.hostId !== host.hostId)
    refuse('agent-certificate', 'the certificate is another host’s', { hostId: agent.hostId });
  if (agent.keyId !== host.agent.keyId)
    refuse('agent-certificate', 'the host has another agent key since', { keyId: agent.keyId });
  switch (host.state) {
    case 'revoked':
      return refuse('host-revoked', 'the host was revoked');
    case 'pending':
      return refuse('host-pending', 'the host waits for an operator’s approval');
    case 'quarantined':
      return 'attestation-only';
    case 'active':
      return agent.expired ? 'attestation-only' : 'full';
  }
}
