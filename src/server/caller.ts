import type { HostState, LeafActor, Records } from '../audit/index.ts';
import { refuse } from '../base/index.ts';
import { hasRole, parseOperatorId } from '../config/index.ts';
import type { KeyRing, Role } from '../config/index.ts';
import { agentAccess, judgeAgentCertificate, readHost } from '../enrollment/index.ts';
import type { Operator, PresentedAgent, StoredHost } from '../enrollment/index.ts';
import { sameName, tlsClientProfile, verifyPath } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import type { Presented } from './presented.ts';
import { AdminProblem } from './problem.ts';

/** Who may call a route. */
export type Access =
  | { readonly who: 'anyone' }
  /** An operator with the role; `any`: whatever the role. */
  | { readonly who: 'operator'; readonly role: Role | 'any' }
  /** Any operator, or the agent of an active host. */
  | { readonly who: 'operator-or-agent' }
  /** The agent of an enrolled host; `attestation`: also of a quarantined one, or with an expired certificate. */
  | { readonly who: 'agent'; readonly standing: 'active' | 'attestation' };

/** Who called, as far as the route asked. */
export type Caller =
  | { readonly kind: 'anyone' }
  | {
      readonly kind: 'operator';
      readonly operator: Operator;
      readonly roles: readonly Role[];
      readonly fingerprint: string;
    }
  | {
      readonly kind: 'agent';
      readonly agent: PresentedAgent;
      readonly host: StoredHost;
      readonly certificate: Certificate;
    };

/** What judging a caller needs. */
export interface CallerContext {
  readonly records: Records;
  readonly ring: KeyRing;
  readonly trustDomain: string;
  /** Unix ms. */
  readonly now: number;
  /** Told as soon as it is proved who calls, whatever is refused afterwards. */
  readonly onKnown?: (who: LeafActor) => void;
}

/** Record of an operator's certificate that the ledger keeps when it was revoked. */
export const operatorRecord = (serial: string): { kind: string; id: string } => ({
  kind: 'operator',
  id: serial,
});

/**
 * Judges the client certificate for one kind of route. TLS proved that the caller has its key; nothing else about it is
 * believed: each kind of caller is read only from a path to its own authority, so that no other certificate (workload
 * SVID, agent, server) can speak as an operator, whatever names are in it.
 * @param leaf the certificate that was presented
 * @throws Refusal, AdminProblem `not-permitted`
 */
export async function judgeCaller(
  access: Access,
  leaf: Presented | undefined,
  context: CallerContext,
): Promise<Caller> {
  if (access.who === 'anyone') return { kind: 'anyone' };
  if (leaf === undefined) return refuse('caller-certificate', 'this needs a client certificate');
  const { certificate } = leaf;
  if (access.who === 'operator-or-agent') {
    // By the issuer's name it is only chosen which path is judged; the path itself decides.
    const operators = context.ring.certificate('operator-ca');
    return sameName(certificate.issuer, operators.subject)
      ? await judgeOperator('any', certificate, context)
      : await judgeAgent('active', certificate, context);
  }
  return access.who === 'operator'
    ? await judgeOperator(access.role, certificate, context)
    : await judgeAgent(access.standing, certificate, context);
}

async function judgeOperator(
  role: Role | 'any',
  leaf: Certificate,
  { ring, trustDomain, records, now, onKnown }: CallerContext,
): Promise<Caller> {
  const anchors = [ring.certificate('operator-ca')];
  const { findings } = verifyPath({ leaf, anchors, now, profile: tlsClientProfile });
  const [uri, ...more] = findings.uris;
  if (uri === undefined || more.length > 0)
    return refuse('caller-operator', 'the certificate doesn’t name exactly one operator');
  const id = parseOperatorId(uri);
  if (id.trustDomain !== trustDomain) refuse('caller-operator', 'an operator of another trust domain');
  onKnown?.({ kind: 'operator', id: leaf.serial });
  const stored = await records.get(operatorRecord(leaf.serial));
  if (stored?.body['state'] === 'revoked') refuse('caller-revoked', 'the operator’s certificate was revoked');
  if (role !== 'any' && !hasRole(id.roles, role))
    throw new AdminProblem('not-permitted', `this needs the role ${role}`);
  const operator = { certificate: leaf.serial, name: id.name };
  return { kind: 'operator', operator, roles: id.roles, fingerprint: leaf.fingerprint };
}

async function judgeAgent(
  standing: 'active' | 'attestation',
  certificate: Certificate,
  { ring, trustDomain, records, now, onKnown }: CallerContext,
): Promise<Caller> {
  const agent = judgeAgentCertificate(certificate, [ring.certificate('agent-ca')], trustDomain, now);
  const host = await readHost(records, agent.hostId);
  if (host === undefined) return refuse('caller-certificate', 'the host of the certificate is not enrolled');
  if (host.host.agent.keyId === agent.keyId) onKnown?.({ kind: 'host', id: agent.hostId });
  if (agentAccess(agent, host.host) === 'attestation-only' && standing === 'active')
    return refuseAttestationOnly(host.host.state);
  return { kind: 'agent', agent, host, certificate };
}

/** What an agent hears that may only attest now. @throws Refusal `host-quarantined`, `caller-expired` */
export function refuseAttestationOnly(state: HostState): never {
  if (state === 'quarantined')
    return refuse('host-quarantined', 'the host is quarantined: it may attest, nothing else');
  return refuse('caller-expired', 'the agent certificate has ended: attest the host first');
}
