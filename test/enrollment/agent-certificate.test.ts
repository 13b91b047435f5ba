import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { toBase64url } from '../../src/base/index.ts';
import {
  AGENT_CERTIFICATE_LIFETIME_MS,
  agentAccess,
  agentUri,
  issueAgentCertificate,
  judgeAgentCertificate,
} from '../../src/enrollment/index.ts';
import type { AgentIssuer, HostRecord } from '../../src/enrollment/index.ts';
import { issueCertificate, parseCertificate, randomSerial } from '../../src/x509/index.ts';
import type { CertificatePurpose } from '../../src/x509/index.ts';
import { systemRandom } from '../support/random.ts';
import { expectRefusal } from '../support/refusals.ts';
import { NOW, TestDesk } from './desk.ts';
import { SoftwareHost, ekFactory } from './software-host.ts';

const DOMAIN = 'example.org';
const factory = ekFactory(NOW);
const ca = ekFactory(NOW, 'Agent CA');
const issuer: AgentIssuer = { ...ca, trustDomain: DOMAIN };
const anchors = [parseCertificate(ca.certificate)];
let host: HostRecord;
beforeAll(async () => {
  const desk = await TestDesk.open([factory.certificate]);
  const software = new SoftwareHost(factory, NOW);
  ({ host } = await desk.enrolled(software, software.request({ token: await desk.invite() })));
});

const issue = (record = host, now = NOW): Uint8Array =>
  issueAgentCertificate(record, issuer, now, systemRandom);
const judge = (der: Uint8Array, now = NOW, trusted = anchors) =>
  judgeAgentCertificate(parseCertificate(der), trusted, DOMAIN, now);

/** A certificate for the host's agent key by the agent CA, with another name or purpose. */
function forged(purpose: CertificatePurpose): Uint8Array {
  return issueCertificate({
    subject: { commonName: 'x' },
    publicKey: new Uint8Array(Buffer.from(host.agent.public, 'base64url')),
    issuer: { certificate: ca.certificate, key: ca.key },
    serial: randomSerial(systemRandom),
    notBefore: NOW,
    notAfter: NOW + 1000,
    purpose,
  });
}

describe('an agent certificate', () => {
  it('is a TLS client’s for 24 hours that names one host', () => {
    const der = issue();
    const { subjectAltName, validToDate, keyUsage } = new X509Certificate(der) as X509Certificate & {
      validToDate?: Date;
    };
    expect(subjectAltName).toBe(`URI:spiffe://${DOMAIN}/sealgate/agent/${host.hostId}`);
    expect(keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    const { notAfter, notBefore } = parseCertificate(der);
    expect([notBefore, notAfter]).toEqual([NOW - 60_000, NOW + AGENT_CERTIFICATE_LIFETIME_MS]);
    expect(validToDate?.getTime() ?? notAfter).toBe(notAfter);
    expect(judge(der)).toEqual({ hostId: host.hostId, keyId: host.agent.keyId, expired: false });
  });

  it('never outlives its CA', () => {
    const late = parseCertificate(ca.certificate).notAfter;
    expect(parseCertificate(issue(host, late - 1000)).notAfter).toBe(late);
    expectRefusal('agent-certificate', () => issue(host, late));
  });

  it('is for active hosts', () => {
    for (const state of ['pending', 'quarantined'] as const)
      expectRefusal('host-state', () => issue({ ...host, state }));
    expectRefusal('host-revoked', () => issue({ ...host, state: 'revoked' }));
  });

  it('is by the agent CA, for a client, of an agent of this domain', () => {
    expectRefusal('x509-untrusted', () => judge(issue(), NOW, [parseCertificate(factory.certificate)]));
    expectRefusal('x509-no-anchors', () => judge(issue(), NOW, []));
    const uri = agentUri(DOMAIN, host.hostId);
    expectRefusal('x509-purpose', () => judge(forged({ kind: 'tls-server', dns: [], uri })));
    expectRefusal('agent-certificate', () => judge(forged({ kind: 'tls-client' })));
    for (const other of [
      agentUri('example.com', host.hostId),
      `spiffe://${DOMAIN}/sealgate/agent/${host.hostId}/x`,
      `spiffe://${DOMAIN}/sealgate/operator/${host.hostId}`,
      `spiffe://${DOMAIN}/workload`,
    ])
      expectRefusal('agent-certificate', () => judge(forged({ kind: 'tls-client', uri: other })));
    expectRefusal('agent-certificate', () =>
      judge(forged({ kind: 'tls-client', uri: 'https://example.org/' })),
    );
  });

  it('that expired still attests, until its CA ends', () => {
    const der = issue();
    const after = NOW + AGENT_CERTIFICATE_LIFETIME_MS + 1000;
    expect(judge(der, after).expired).toBe(true);
    const end = parseCertificate(ca.certificate).notAfter;
    expectRefusal('agent-certificate', () => judge(der, end + 1000));
    expectRefusal('x509-not-yet-valid', () => judge(der, NOW - 120_000));
  });
});

describe('what an agent may do', () => {
  const presented = () => judge(issue());

  it('follows from its host’s state and its certificate’s time', () => {
    const agent = presented();
    expect(agentAccess(agent, host)).toBe('full');
    expect(agentAccess({ ...agent, expired: true }, host)).toBe('attestation-only');
    expect(agentAccess(agent, { ...host, state: 'quarantined' })).toBe('attestation-only');
    expectRefusal('host-pending', () => agentAccess(agent, { ...host, state: 'pending' }));
    expectRefusal('host-revoked', () => agentAccess(agent, { ...host, state: 'revoked' }));
  });

  it('is for its own host and with the host’s key only', () => {
    const agent = presented();
    expectRefusal('agent-certificate', () => agentAccess(agent, { ...host, hostId: 'f'.repeat(64) }));
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = toBase64url(new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })));
    const rekeyed = { ...host, agent: { public: spki, keyId: 'e'.repeat(64) } };
    expectRefusal('agent-certificate', () => agentAccess(agent, rekeyed));
  });
});
