import { boundedDenial, denialBody, leafBody } from '../audit/index.ts';
import type { Change, Ledger, OnceOnly, Precondition } from '../audit/index.ts';
import { LIMITS, Refusal, toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { encodeImaState } from '../evidence/index.ts';
import { platformOf } from '../policy/index.ts';
import { approveArtifact } from './artifact-stage.ts';
import { mintAuthorization, spendBudgets, unchanged } from './authorization-stage.ts';
import type { ChildBudget, MintedAuthorization } from './authorization-stage.ts';
import { drawSalts, keptBodies, leafFacts } from './decision-leaf.ts';
import type { LeafFacts } from './decision-leaf.ts';
import { toDenial } from './denial.ts';
import type { Stage } from './denial.ts';
import { validateEnvironment } from './environment-stage.ts';
import { EXECUTION, IMA_STATE, executionBody } from './execution-record.ts';
import type { ExecutionRecord } from './execution-record.ts';
import { executionQualifyingData } from './execution-request.ts';
import { identifyHost, identifyPrincipals } from './identity-stage.ts';
import { ancestorPreconditions } from './parent.ts';
import { enrolled, evaluatePolicy } from './policy-stage.ts';
import type { PolicyApproval, Verified } from './policy-stage.ts';
import type { Caller, DecisionDeps } from './ports.ts';
import { finishExecution, preparedAllow } from './prepared.ts';
import type { Decided, Prepared, PreparedAllow, PreparedDenial } from './prepared.ts';
import { authenticateQuote, quotedSelection } from './quote-stage.ts';
import type { AuthenticQuote, SignedQuote } from './quote-stage.ts';
import { admitRequest, nonceExpiry } from './request-stage.ts';
import { sealRelease } from './sealing-stage.ts';
import type { SealedRelease } from './sealing-stage.ts';

/** What is known when a stage says no. */
interface Progress extends Partial<LeafFacts> {
  stage: Stage;
  quote?: SignedQuote;
}

/**
 * Decides one execution request, up to the change that has to be committed: the stages in their order. Nothing that
 * this makes is worth anything, and nothing can be read out of it, before `Ledger.commit` says that it is durable.
 * An exception in any stage is a denial.
 * @param body the JSON of `POST /v1/executions`, parsed strictly
 */
export async function prepareExecution(
  body: JsonObject,
  caller: Caller,
  deps: DecisionDeps,
): Promise<Prepared> {
  const progress: Mutable<Progress> = { stage: 'request' };
  try {
    return await runStages(body, caller, deps, progress);
  } catch (error) {
    return deny(error, progress, deps);
  }
}

async function runStages(
  body: JsonObject,
  caller: Caller,
  deps: DecisionDeps,
  progress: Mutable<Progress>,
): Promise<PreparedAllow> {
  const admitted = (progress.admitted = await admitRequest(body, caller, deps));

  progress.stage = 'identity';
  const host = (progress.host = await identifyHost(admitted, caller, deps));

  progress.stage = 'environment';
  const { request, evidence, policy } = admitted;
  const platform = platformOf(policy.bundle, enrolled(host));
  const quote = authenticateQuote(
    {
      evidence,
      host,
      platform,
      qualifyingData: executionQualifyingData(admitted.nonce, admitted.digest),
      selection: quotedSelection(platform.quoted),
      nonce: request.nonce,
      now: admitted.now,
    },
    deps,
    (signed) => {
      progress.quote = signed;
    },
  );

  progress.stage = 'identity';
  const principals = (progress.principals = await identifyPrincipals(admitted, deps));

  progress.stage = 'environment';
  const environment = validateEnvironment({
    quote,
    evidence,
    host,
    platform,
    imaRules: policy.imaRules(platform.name),
    artifact: request.artifact,
  });

  progress.stage = 'artifact';
  const artifact = (progress.artifact = await approveArtifact(admitted, quote.pcrs, deps));

  progress.stage = 'policy';
  const verified: Verified = { admitted, host, platform, principals, environment, artifact };
  const approval = await evaluatePolicy(verified);
  progress.deciding = approval.deciding;

  progress.stage = 'authorization';
  const budget = await spendBudgets(principals.parent, deps);
  const minted = await mintAuthorization(verified, approval, deps);

  progress.stage = 'sealing';
  const release = await sealRelease(verified, approval, minted, quote, deps);

  progress.stage = 'audit';
  return prepareAllow({ verified, approval, quote, minted, release, budget }, deps);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Everything that the stages made. */
interface Allowed {
  readonly verified: Verified;
  readonly approval: PolicyApproval;
  readonly quote: AuthenticQuote;
  readonly minted: MintedAuthorization;
  readonly release: SealedRelease;
  readonly budget: ChildBudget;
}

/** The change of an allow: leaf, what must still hold, what is taken once, what is written. */
function prepareAllow(allowed: Allowed, deps: DecisionDeps): PreparedAllow {
  const { verified, approval, quote, minted, release, budget } = allowed;
  const { admitted, host, principals, artifact } = verified;
  const { request, policy } = admitted;
  const { clockInfo } = quote.quote.attest;
  const facts = {
    admitted,
    host,
    signed: quote.quote.attest,
    principals,
    artifact,
    deciding: approval.deciding,
  };
  const salts = drawSalts(deps);
  const { sealed, released } = release;
  const content = {
    ...leafFacts(
      facts,
      salts,
      { authorization: minted.token, sealed, released, evidence: minted.evidence },
      deps,
    ),
    outcome: 'allow' as const,
  };
  const change: Change = {
    leaf: leafBody(content),
    denialLeaf: denialBody(content),
    preconditions: [...preconditionsOf(verified), ...budget.preconditions],
    once: onceOf(verified),
    counters: {
      ek: host.hostId,
      resetCount: clockInfo.resetCount,
      restartCount: clockInfo.restartCount,
      clock: String(clockInfo.clock),
      safe: clockInfo.safe,
    },
    writes: [
      {
        kind: EXECUTION,
        id: request.executionId,
        body: executionBody(recordOf(verified, minted, clockInfo)),
      },
      ...budget.writes,
      ...imaWrite(verified),
    ],
    bodies: keptBodies(admitted, salts, deps),
  };
  return preparedAllow(change, request.executionId, {
    authorization: minted.token,
    attestationResult: minted.attestationResult,
    policyManifest: policy.manifest,
    sealed,
    logSize: BigInt(request.logSize),
  });
}

/** What may have moved since it was read (PROTOCOL 8): read again under the head's lock. */
function preconditionsOf({ admitted, host, principals }: Verified): readonly Precondition[] {
  return [
    unchanged(host.record, 'state-moved', 'the host changed while the request was decided'),
    unchanged(admitted.policy.record, 'policy-moved', 'another policy bundle became active'),
    unchanged(
      admitted.revocationEpoch,
      'revoked-meanwhile',
      'something was revoked while the request was decided',
    ),
    ...ancestorPreconditions(principals.parent),
  ];
}

/** Nonce, execution id and a bearer token work once. */
function onceOf({ admitted: { request, now }, principals: { initiator } }: Verified): readonly OnceOnly[] {
  return [
    nonceOnce(request.nonce, now),
    {
      kind: 'execution',
      id: request.executionId,
      expires: Number.MAX_SAFE_INTEGER,
      check: 'replay-execution',
      reason: 'an execution of this id was decided before',
    },
    ...(initiator === null || initiator.confirmationKey !== undefined
      ? []
      : [
          {
            kind: 'bearer-token',
            id: `${initiator.issuer}#${initiator.tokenId}`,
            expires: initiator.expires * 1000 + LATE,
            check: 'replay-token' as const,
            reason: 'the initiator’s token was used before',
          },
        ]),
  ];
}

/** Tolerance for ids that may be forgotten: no clock here is off by more. */
const LATE = 3_600_000;

function nonceOnce(nonce: string, now: number): OnceOnly {
  return {
    kind: 'nonce',
    id: nonce,
    expires: nonceExpiry(now) + LATE,
    check: 'replay-nonce',
    reason: 'the nonce was presented before',
  };
}

function recordOf(
  { admitted, host, principals }: Verified,
  { claims, token }: MintedAuthorization,
  boot: ExecutionRecord['boot'],
): ExecutionRecord {
  const { request, policy, digest } = admitted;
  const { parent, workload } = principals;
  return {
    v: 1,
    state: 'issued',
    hostId: host.hostId,
    parent: parent?.executionId ?? null,
    root: claims.txn,
    depth: claims.del_depth,
    jti: claims.jti,
    expires: claims.exp,
    started: claims.iat,
    chain: [...(parent?.record.chain ?? []), token],
    artifact: { name: request.artifact.name, digest: request.artifact.digest },
    workloadPublic: request.workloadPublic,
    workloadThumbprint: workload.thumbprint,
    ak: toHex(host.akName),
    boot: { resetCount: boot.resetCount, restartCount: boot.restartCount },
    policyHash: policy.bundle.hash,
    requestDigest: toHex(digest),
    credentials: request.credentials,
    sequence: 0,
  };
}

/** Where the next IMA list may begin. */
function imaWrite({ host, environment: { ima } }: Verified): Change['writes'] {
  return ima === null ? [] : [{ kind: IMA_STATE, id: host.hostId, body: encodeImaState(ima.state) }];
}

/**
 * The denial that an error becomes. It is a leaf when the enrolled key signed the quote; earlier ones are only counted,
 * so that nobody fills the log.
 */
function deny(error: unknown, progress: Progress, deps: DecisionDeps): PreparedDenial {
  const { stage } = progress;
  if (!(error instanceof Refusal)) deps.onFault?.(error, stage);
  const refusal =
    error instanceof Refusal
      ? error
      : new Refusal('internal', 'a fault of the verifier; nothing was released');
  const denial = { ...toDenial(refusal, stage), ...(error instanceof Refusal ? {} : { stage }) };
  try {
    const change = denialChange(denial, progress, deps);
    return { outcome: 'deny', denial, ...(change === undefined ? {} : { change }) };
  } catch (fault) {
    // The denial holds all the same; only its leaf could not be made.
    deps.onFault?.(fault, 'audit');
    return { outcome: 'deny', denial };
  }
}

function denialChange(
  denial: PreparedDenial['denial'],
  { admitted, host, quote, principals, artifact, deciding }: Progress,
  deps: DecisionDeps,
): Change | undefined {
  if (admitted === undefined || host === undefined || quote === undefined) return undefined;
  const facts: LeafFacts = {
    admitted,
    host,
    signed: quote.signed,
    principals,
    artifact,
    deciding: deciding ?? [],
  };
  const salts = drawSalts(deps);
  const { check, reason, stage, code, remedy, detail } = denial;
  const content = {
    ...leafFacts(facts, salts, null, deps),
    outcome: 'deny' as const,
    denial: boundedDenial({ check, reason, stage, code, remedy, detail }),
  };
  return {
    leaf: leafBody(content),
    denialLeaf: denialBody(content),
    preconditions: [],
    // A nonce that another decision holds is spent by that one.
    once: quote.reserved ? [nonceOnce(admitted.request.nonce, admitted.now)] : [],
    writes: [],
    bodies: keptBodies(admitted, salts, deps).filter(({ data }) => data.length <= LIMITS.json),
  };
}

/**
 * The whole decision: prepared, committed, answered. A ledger that fails or whose outcome is unknown denies.
 */
export async function decideExecution(
  body: JsonObject,
  caller: Caller,
  deps: DecisionDeps,
  ledger: Ledger,
): Promise<Decided> {
  const prepared = await prepareExecution(body, caller, deps);
  try {
    const committed = prepared.change === undefined ? undefined : await ledger.commit(prepared.change);
    return await finishExecution(prepared, committed, deps.log);
  } catch (error) {
    deps.onFault?.(error, 'audit');
    if (prepared.outcome === 'deny') return { outcome: 'deny', denial: prepared.denial };
    const refusal =
      error instanceof Refusal
        ? error
        : new Refusal('ledger-unavailable', 'the decision could not be committed or answered');
    return { outcome: 'deny', denial: toDenial(refusal, 'audit') };
  }
}
