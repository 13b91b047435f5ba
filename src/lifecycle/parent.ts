import { MAX_DEPTH, MAX_LIFETIME_SECONDS, parseClaims, verifyAuthorization } from '../authorization/index.ts';
import type { AuthorizationClaims, HolderBinding } from '../authorization/index.ts';
import type { Precondition } from '../audit/index.ts';
import { fromBase64url, refuse } from '../base/index.ts';
import { hostSpiffeId } from '../credential/index.ts';
import { ALIVE } from './execution-record.ts';
import type { ExecutionRecord } from './execution-record.ts';
import { ekAuthorities, requireNotRevoked } from './not-revoked.ts';
import type { DecisionDeps, HostFacts, RecordVersion } from './ports.ts';
import type { AdmittedRequest } from './stages/request-stage.ts';
import { initiatorOf, restsOn } from './rests-on.ts';
import { workloadKey } from './workload-key.ts';

/** A parent whose whole chain verified, whose holder proved itself and whose ancestors are all active. */
export interface VerifiedParent {
  readonly executionId: string;
  readonly hostId: string;
  readonly token: string;
  readonly claims: AuthorizationClaims;
  readonly record: ExecutionRecord;
  /** Root first; the parent itself last. */
  readonly lineage: readonly Ancestor[];
}

/** One execution above the one that is asked for. */
export interface Ancestor {
  readonly executionId: string;
  readonly version: RecordVersion;
  /** Of its host. */
  readonly host: RecordVersion;
  readonly record: ExecutionRecord;
  readonly claims: AuthorizationClaims;
}

/**
 * Verifies the parent that a request claims, or gives null where it claims none.
 * @throws Refusal `parent-unknown`, `parent-state`, `parent-scopes`, `not_narrower`, those of `verifyAuthorization`
 */
export async function verifyParent(
  { request, proofs, now }: AdmittedRequest,
  binding: HolderBinding,
  deps: DecisionDeps,
): Promise<VerifiedParent | null> {
  if (request.parent === null || proofs.parent === null) return null;
  const lineage = await lineageOf(request.parent, deps);
  const parent = lineage[lineage.length - 1];
  if (parent === undefined) return refuse('parent-unknown', 'the parent is no execution of this verifier');
  const { record, executionId } = parent;
  requireWithin(request.credentials, record.credentials);
  // To start others is authority as well: who was given none has none to hand on.
  if (parent.claims.authorization_details[0].scopes.length === 0)
    refuse('parent-scopes', 'the parent has no scope, so it can start nothing', { parent: executionId });
  // Who asks for no scope gets none; that the parent may still use its own is what is verified then.
  const scopes = request.scopes.length > 0 ? request.scopes : parent.claims.authorization_details[0].scopes;
  const active = new Set(
    lineage.filter((ancestor) => ALIVE.has(ancestor.record.state)).map(({ claims }) => claims.jti),
  );
  const verified = await verifyAuthorization(
    record.chain,
    {
      scopes,
      holder: { key: workloadKey(record.workloadPublic), proof: proofs.parent, binding },
    },
    {
      keys: deps.keys.authorizations,
      issuer: deps.issuer,
      trustDomain: deps.trustDomain,
      audience: hostSpiffeId(deps.trustDomain, record.hostId),
      status: ({ jti }) => (active.has(jti) ? 'valid' : 'revoked'),
      ceilings: { depth: MAX_DEPTH, lifetime: MAX_LIFETIME_SECONDS, scopes },
    },
    Math.floor(now / 1000),
  );
  return {
    executionId,
    hostId: record.hostId,
    token: request.parent,
    claims: verified.claims,
    record,
    lineage,
  };
}

/**
 * What may be released is authority too: a child gets no credential that its parent doesn't have.
 * @throws Refusal `not_narrower`
 */
function requireWithin(asked: readonly string[], own: readonly string[]): void {
  const wider = asked.filter((name) => !own.includes(name));
  if (wider.length > 0)
    refuse('not_narrower', 'the child’s credentials are wider than its parent’s', {
      what: 'credentials',
      names: wider,
    });
}

/** The records along the parent's stored chain, root first. */
async function lineageOf(token: string, deps: DecisionDeps): Promise<readonly Ancestor[]> {
  // Only for finding the record: the chain that is verified is the stored one, which must end with this token.
  const [, payload = ''] = token.split('.');
  const claimed = parseClaims(fromBase64url(payload, 'parent'));
  const own = await deps.executions.get(claimed.client_id);
  if (own === undefined) return refuse('parent-unknown', 'the parent is no execution of this verifier');
  const { chain } = own.body;
  if (chain[chain.length - 1] !== token)
    refuse('parent-state', 'this is not the parent’s current authorization');
  return await ancestorsOf(chain, deps);
}

/** The records behind a stored chain of authorizations, root first. @throws Refusal `parent-unknown` */
async function ancestorsOf(chain: readonly string[], deps: DecisionDeps): Promise<readonly Ancestor[]> {
  const lineage: Ancestor[] = [];
  for (const link of chain) {
    const claims = parseClaims(fromBase64url(link.split('.')[1] ?? '', 'parent'));
    const found = await deps.executions.get(claims.client_id);
    if (found === undefined) return refuse('parent-unknown', 'an ancestor’s record is missing');
    const host = await requireStanding(found.body, claims, deps);
    // A renewal brought it a policy, authorities and signers that the link in a descendant's chain is older than. What
    // executions were ended, their records say.
    const now = restsOn(claims.client_id, found.body).filter(({ kind }) => kind !== 'execution');
    await requireNotRevoked(now, deps);
    lineage.push({
      host: host.record,
      executionId: claims.client_id,
      version: found.record,
      record: found.body,
      claims,
    });
  }
  return lineage;
}

/**
 * What an ancestor rests on still stands: nothing of it was revoked since it was allowed, and its host is active.
 * @throws Refusal `parent-state`, `dependency-revoked`
 */
async function requireStanding(
  { hostId, artifact, ak, ekRoot, ekIssuers = [], initiator }: ExecutionRecord,
  { attr, gov, policy, sub }: AuthorizationClaims,
  deps: DecisionDeps,
): Promise<HostFacts> {
  const host = await deps.hosts.get(hostId);
  if (host?.state !== 'active')
    return refuse('parent-state', 'the host of an execution above it is not active');
  await requireNotRevoked(
    [
      { kind: 'host', id: hostId },
      { kind: 'ak', id: ak },
      ...ekAuthorities(host),
      // Those of when it was allowed, where the host was enrolled anew since.
      ...ekAuthorities({ ekRoot, ekIssuers }),
      { kind: 'artifact', id: artifact.digest },
      ...attr.signers.map((id) => ({ kind: 'signer', id }) as const),
      { kind: 'initiator', id: sub },
      ...(initiator === null ? [] : [initiatorOf(initiator)]),
      { kind: 'policy', id: policy.digest },
      ...gov.authorities.map((id) => ({ kind: 'authority', id }) as const),
    ],
    deps,
  );
  return host;
}

/**
 * The parent of an execution that is renewed, by its current authorization: it and everything above it must be alive.
 * @throws Refusal `parent-unknown`, `parent-state`
 */
export async function currentParent(
  executionId: string | null,
  deps: DecisionDeps,
): Promise<VerifiedParent | null> {
  if (executionId === null) return null;
  const own = await deps.executions.get(executionId);
  if (own === undefined) return refuse('parent-unknown', 'the parent’s record is missing');
  const record = own.body;
  const lineage = await ancestorsOf(record.chain, deps);
  if (lineage.some((ancestor) => !ALIVE.has(ancestor.record.state)))
    refuse('parent-state', 'an execution above it has ended');
  const token = record.chain[record.chain.length - 1] ?? '';
  const claims = lineage[lineage.length - 1]?.claims;
  if (claims === undefined) return refuse('parent-unknown', 'the parent has no authorization');
  return { executionId, hostId: record.hostId, token, claims, record, lineage };
}

/** What must still hold of the ancestors when the child is committed. */
export function ancestorPreconditions(parent: VerifiedParent | null): readonly Precondition[] {
  const versions = (parent?.lineage ?? []).flatMap(({ version, host }) => [version, host]);
  return versions.map(({ kind, id, version }) => ({
    kind,
    id,
    is: 'version',
    version,
    check: 'state-moved',
    reason: 'an ancestor or its host changed while the request was decided',
  }));
}
