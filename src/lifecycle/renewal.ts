import { parseClaims, verifyHolderProof } from '../authorization/index.ts';
import type { HolderBinding } from '../authorization/index.ts';
import type { Change, Precondition } from '../audit/index.ts';
import {
  equalBytes,
  fromBase64url,
  isJsonObject,
  parseJsonObject,
  refuse,
  toHex,
  utf8,
} from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import type { Platform } from '../policy/index.ts';
import { approveSigned } from './stages/artifact-stage.ts';
import type { AdmittedAttestation, RenewalRequest } from './attestation-request.ts';
import { signAuthorization, unchanged } from './stages/authorization-stage.ts';
import type { MintedAuthorization } from './stages/authorization-stage.ts';
import type { Environment } from './stages/environment-stage.ts';
import { ALIVE, EXECUTION, executionBody } from './execution-record.ts';
import type { ExecutionRecord } from './execution-record.ts';
import { parseKeptRequest } from './execution-request.ts';
import type { ExecutionRequest } from './execution-request.ts';
import { requireNotRevoked } from './not-revoked.ts';
import type { Principals } from './stages/identity-stage.ts';
import type { StoredExecution } from './outcome.ts';
import { ancestorPreconditions, currentParent } from './parent.ts';
import type { VerifiedParent } from './parent.ts';
import { evaluatePolicy } from './stages/policy-stage.ts';
import type { Verified } from './stages/policy-stage.ts';
import type { DecisionDeps, HostFacts } from './ports.ts';
import type { AuthenticQuote } from './stages/quote-stage.ts';
import { makeCredential, preconditionsOf } from './stages/sealing-stage.ts';
import type { Released } from './stages/sealing-stage.ts';
import { workloadKey } from './workload-key.ts';
import { restsOn } from './rests-on.ts';

/** What is true of the host, for every execution of the attestation. */
export interface Attested {
  readonly admitted: AdmittedAttestation;
  readonly host: HostFacts;
  readonly platform: Platform;
  readonly quote: AuthenticQuote;
  readonly environment: Environment;
  /** Evidence and result by digest: what renewed authorizations name. */
  readonly evidence: MintedAuthorization['evidence'];
}

/** An execution that goes on: worth nothing before the commit. */
export interface Renewal {
  readonly executionId: string;
  readonly token: string;
  readonly jti: string;
  readonly deciding: readonly string[];
  readonly signers: readonly string[];
  readonly credentials: readonly JsonObject[];
  readonly released: readonly Released[];
  readonly preconditions: readonly Precondition[];
  readonly write: Change['writes'][number];
  /** The record as it will be: what children in the same attestation are under. */
  readonly record: ExecutionRecord;
}

/**
 * The execution that a renewal names: on this host, by this attestation key, in this boot, alive, and named by the
 * authorization that it has now.
 * @throws Refusal `execution-unknown`, `execution-ended`, `execution-boot`, `renewal-stale`
 */
export async function findRenewed(
  { executionId, jti, sequence }: RenewalRequest,
  { host, quote, admitted }: Pick<Attested, 'host' | 'quote' | 'admitted'>,
  deps: DecisionDeps,
): Promise<StoredExecution> {
  const found = await deps.executions.get(executionId);
  if (found?.body.hostId !== host.hostId)
    return refuse('execution-unknown', 'no such execution was allowed on this host');
  const { body } = found;
  if (!ALIVE.has(body.state))
    refuse('execution-ended', `the execution is ${body.state}`, { state: body.state });
  const { resetCount, restartCount } = quote.quote.attest.clockInfo;
  if (body.ak !== toHex(host.akName))
    refuse('execution-boot', 'the execution was allowed under another attestation key');
  if (body.boot.resetCount !== resetCount || body.boot.restartCount !== restartCount)
    refuse('execution-boot', 'the execution was allowed in an earlier boot');
  if (!equalBytes(utf8(body.jti), utf8(jti)) || body.sequence !== sequence)
    refuse('renewal-stale', 'this is not the execution’s current authorization', { sequence });
  if (admitted.now >= body.expires * 1000) refuse('expired', 'the execution’s authorization has ended');
  return { executionId, ...found };
}

/** What became of the executions that an attestation decided so far: parents come before their children. */
export interface DecidedBefore {
  readonly renewed: ReadonlyMap<string, Renewal>;
  /** Ids of those that may not go on; their records still say that they are alive. */
  readonly denied: ReadonlySet<string>;
}

/**
 * Runs the stages of one execution again, under the active policy and by the host's new evidence.
 * @param proof by the workload key, for the attestation's request
 * @param before what became of those above it
 * @throws Refusal of any stage: the execution ends
 */
export async function renewExecution(
  execution: StoredExecution,
  proof: string,
  attested: Attested,
  before: DecidedBefore,
  deps: DecisionDeps,
): Promise<Renewal> {
  const { executionId, record, body } = execution;
  const { admitted } = attested;
  const binding: HolderBinding = {
    audience: deps.trustDomain,
    nonce: admitted.request.nonce,
    requestDigest: admitted.digest,
  };
  await verifyHolderProof(proof, binding, workloadKey(body.workloadPublic));
  const principals = await principalsOf(body, before, attested, deps);
  const request = await keptRequestOf(body, deps);
  const artifact = await approveSigned(request.artifact, admitted, deps);
  // What it ends by when it is revoked, under the policy that it was allowed under: a renewal takes it out of nothing.
  await requireNotRevoked(restsOn(executionId, body), deps);
  const verified = verifiedOf({ request, body, principals, artifact }, attested);
  const approval = await evaluatePolicy(verified);
  const terms = { evidence: attested.evidence, status: body.status, started: body.started };
  const minted = await signAuthorization(verified, approval, terms, deps);
  const made = [];
  for (const grant of approval.grants) made.push(await makeCredential(grant, verified, minted, deps));
  const next = nextRecord(body, minted, principals.parent, admitted);
  return {
    executionId,
    token: minted.token,
    jti: minted.claims.jti,
    deciding: approval.deciding,
    signers: artifact.signers.map(({ key }) => key),
    credentials: made.map(({ credential }) => credential),
    released: made.map(({ released }) => released),
    preconditions: [
      unchanged(record, 'state-moved', 'an execution changed while the attestation was decided'),
      ...ancestorPreconditions(principals.parent),
      ...preconditionsOf(made),
    ],
    write: { kind: EXECUTION, id: executionId, body: executionBody(next) },
    record: next,
  };
}

function nextRecord(
  body: ExecutionRecord,
  { token, claims }: Pick<MintedAuthorization, 'token' | 'claims'>,
  parent: VerifiedParent | null,
  { policy }: AdmittedAttestation,
): ExecutionRecord {
  return {
    ...body,
    jti: claims.jti,
    expires: claims.exp,
    chain: [...(parent?.record.chain ?? []), token],
    policyHash: policy.bundle.hash,
    sequence: body.sequence + 1,
  };
}

/** Who acts: as when it began, each of them still believed. */
async function principalsOf(
  body: ExecutionRecord,
  before: DecidedBefore,
  { admitted: { policy } }: Attested,
  deps: DecisionDeps,
): Promise<Principals> {
  const { initiator } = body;
  if (initiator !== null && !policy.bundle.issuers.some(({ issuer }) => issuer === initiator.issuer)) {
    refuse('dependency-revoked', 'policy no longer trusts the initiator’s issuer', {
      issuer: initiator.issuer,
    });
  }
  const parent = await parentOf(body, before, deps);
  return {
    workload: { key: workloadKey(body.workloadPublic), thumbprint: body.workloadThumbprint },
    initiator: initiator && { ...initiator, once: null },
    parent,
    origin: lastClaims(body).sub,
  };
}

/**
 * The parent with the authorization that it will have: this attestation's, where it was renewed in it.
 * @throws Refusal `parent-state` under one that this attestation denied: it ends right after it
 */
async function parentOf(
  body: ExecutionRecord,
  { renewed, denied }: DecidedBefore,
  deps: DecisionDeps,
): Promise<VerifiedParent | null> {
  const parent = await currentParent(body.parent, deps);
  if (parent?.lineage.some(({ executionId }) => denied.has(executionId)) === true)
    refuse('parent-state', 'an execution above it was denied in this attestation');
  const fresh = body.parent === null ? undefined : renewed.get(body.parent);
  if (parent === null || fresh === undefined) return parent;
  return { ...parent, token: fresh.token, claims: lastClaims(fresh.record), record: fresh.record };
}

/** Claims of the record's own, last authorization. The record's MAC is what vouches for them. */
function lastClaims({ chain }: ExecutionRecord) {
  return parseClaims(fromBase64url((chain[chain.length - 1] ?? '').split('.')[1] ?? '', 'authorization'));
}

/** The request as it was allowed. @throws Refusal `execution-record` when it is no longer kept */
async function keptRequestOf(
  { request: sha256, requestDigest, initiator }: ExecutionRecord,
  { bodies }: DecisionDeps,
): Promise<ExecutionRequest> {
  const kept = await bodies.get(sha256);
  if (kept === undefined)
    return refuse('execution-record', 'the execution’s request is no longer kept', { requestDigest });
  const { request } = parseJsonObject(kept, 'kept request', KEPT_LIMITS);
  if (!isJsonObject(request)) return refuse('execution-record', 'the kept request is none');
  if ((request['initiator'] === null) !== (initiator === null))
    refuse('execution-record', 'the kept request is another one');
  // The token is not kept; what it said is in the record.
  return parseKeptRequest({ ...request, initiator: null });
}

/** A request came in a body of this size at the most. */
const KEPT_LIMITS = { maxBytes: 64 * 1024 * 1024, maxDepth: 8 };

/** What the stages from policy on take, with this attestation's nonce, evidence and time. */
function verifiedOf(
  {
    request,
    body,
    principals,
    artifact,
  }: Pick<Verified, 'principals' | 'artifact'> & {
    readonly request: ExecutionRequest;
    readonly body: ExecutionRecord;
  },
  { admitted, host, platform, environment }: Attested,
): Verified {
  return {
    admitted: {
      request: { ...request, nonce: admitted.request.nonce },
      policy: admitted.policy,
      now: admitted.now,
    },
    host,
    platform,
    principals,
    environment: { ...environment, executedDigest: body.executedDigest },
    artifact,
  };
}
