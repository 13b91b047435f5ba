import { denialBody, leafBody } from '../audit/index.ts';
import type { Change, Ledger, OnceOnly, Precondition } from '../audit/index.ts';
import { toHex } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { platformOf } from '../policy/index.ts';
import { approveArtifact } from './stages/artifact-stage.ts';
import { budgetsOf, mintAuthorization, unchanged } from './stages/authorization-stage.ts';
import type { MintedAuthorization } from './stages/authorization-stage.ts';
import { commitDecision } from './commit-decision.ts';
import {
  LATE,
  denialChange,
  drawSalts,
  isSmall,
  keepLonger,
  keptBodies,
  keptInputs,
  keptRequest,
  leafFacts,
  nonceOnce,
  textBody,
  textDigest,
  unanswered,
} from './decision-leaf.ts';
import type { LeafFacts } from './decision-leaf.ts';
import { denialOf, deny } from './deny.ts';
import type { Denial, Stage } from './denial.ts';
import { storedEventLog, validateEnvironment } from './stages/environment-stage.ts';
import { EXECUTION, executionBody } from './execution-record.ts';
import type { ExecutionRecord } from './execution-record.ts';
import { executionQualifyingData, parseExecutionSubmission } from './execution-request.ts';
import { countersOf, rememberDenied, rememberEvidence, rememberRun } from './host-memory.ts';
import { identifyHost, identifyPrincipals } from './stages/identity-stage.ts';
import type { Principals } from './stages/identity-stage.ts';
import { stillNotRevoked } from './not-revoked.ts';
import { ancestorPreconditions } from './parent.ts';
import { enrolled, evaluatePolicy } from './stages/policy-stage.ts';
import type { PolicyApproval, VerifiedRequest } from './stages/policy-stage.ts';
import type { Caller, DecisionDeps, HostFacts } from './ports.ts';
import { preparedAllow } from './prepared.ts';
import type { Decided, ExecutionAnswer, Prepared, PreparedAllow } from './prepared.ts';
import { authenticateQuote, quotedSelection } from './stages/quote-stage.ts';
import type { AuthenticQuote, SignedQuote } from './stages/quote-stage.ts';
import { recordDecision } from './repeat/record-decision.ts';
import type { Recording } from './repeat/record-decision.ts';
import { admitRequest } from './stages/request-stage.ts';
import type { AdmittedRequest, Submission } from './stages/request-stage.ts';
import { sealRelease } from './stages/sealing-stage.ts';
import type { SealedRelease } from './stages/sealing-stage.ts';

/** What is known when a stage says no. */
interface Progress {
  stage: Stage;
  admitted?: AdmittedRequest;
  host?: HostFacts;
  quote?: SignedQuote;
  principals?: Principals;
  signers?: readonly string[];
  deciding?: readonly string[];
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
): Promise<Prepared<ExecutionAnswer>> {
  return await prepareSubmission(() => parseExecutionSubmission(body), caller, deps);
}

/** The same of a submission that was read otherwise: by who repeats the decision. */
export async function prepareSubmission(
  read: () => Submission,
  caller: Caller,
  deps: DecisionDeps,
): Promise<Prepared<ExecutionAnswer>> {
  const recording = recordDecision('execution', caller, deps);
  const progress: Progress = { stage: 'request' };
  try {
    return await runStages(read(), caller, recording, progress);
  } catch (error) {
    return deny(error, progress.stage, deps, (denial) => executionDenial(denial, progress, recording));
  }
}

async function runStages(
  submission: Submission,
  caller: Caller,
  recording: Recording,
  progress: Progress,
): Promise<PreparedAllow<ExecutionAnswer>> {
  const { deps } = recording;
  const { verified, approval, quote } = await judgeStages(submission, caller, deps, progress);

  progress.stage = 'authorization';
  const minted = await mintAuthorization(verified, approval, deps);

  progress.stage = 'sealing';
  const release = await sealRelease(verified, approval, minted, quote, deps);

  progress.stage = 'audit';
  return prepareAllow({ verified, approval, quote, minted, release }, recording);
}

/** The stages that judge, from the request to policy's word; what is made is made after them. */
async function judgeStages(
  submission: Submission,
  caller: Caller,
  deps: DecisionDeps,
  progress: Progress,
): Promise<Pick<Allowed, 'verified' | 'approval' | 'quote'>> {
  const admitted = (progress.admitted = await admitRequest(submission, caller, deps));

  progress.stage = 'identity';
  const { request, evidence, policy } = admitted;
  const question = { hostId: request.hostId, policy, purpose: 'execution' } as const;
  const host = (progress.host = await identifyHost(question, caller, deps));

  progress.stage = 'environment';
  const platform = platformOf(policy.bundle, enrolled(host), admitted.now);
  const quote = await authenticateQuote(
    {
      evidence,
      host,
      platform,
      qualifyingData: executionQualifyingData(admitted.nonce, admitted.digest),
      selection: quotedSelection(platform.quoted),
      nonce: request.nonce,
      challenge: admitted.challenge,
      caller,
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
  const environment = await validateEnvironment(
    {
      quote,
      evidence,
      host,
      storedLog: await storedEventLog(host, evidence, deps),
      platform,
      imaRules: policy.imaRules(platform.name, admitted.now),
      artifact: request.artifact,
    },
    deps,
  );

  progress.stage = 'artifact';
  const artifact = await approveArtifact(admitted, quote.pcrs, deps);
  progress.signers = artifact.signers.map(({ key }) => key);

  progress.stage = 'policy';
  const verified: VerifiedRequest = { admitted, host, platform, principals, environment, artifact };
  const approval = await evaluatePolicy(verified);
  progress.deciding = approval.deciding;
  return { verified, approval, quote };
}

/**
 * Why the stages that judge would deny a submission; null where policy allows it. For simulations and for a bundle that
 * is staged: nothing is made.
 */
export async function judgeSubmission(
  read: () => Submission,
  caller: Caller,
  deps: DecisionDeps,
): Promise<Denial | null> {
  const progress: Progress = { stage: 'request' };
  try {
    await judgeStages(read(), caller, deps, progress);
    return null;
  } catch (error) {
    return denialOf(error, progress.stage, deps);
  }
}

/** {@link judgeSubmission} of `POST /v1/executions`. @param body parsed strictly */
export const judgeExecution = (
  body: JsonObject,
  caller: Caller,
  deps: DecisionDeps,
): Promise<Denial | null> => judgeSubmission(() => parseExecutionSubmission(body), caller, deps);

/** Everything that the stages made. */
interface Allowed {
  readonly verified: VerifiedRequest;
  readonly approval: PolicyApproval;
  readonly quote: AuthenticQuote;
  readonly minted: MintedAuthorization;
  readonly release: SealedRelease;
}

/** The change of an allow: leaf, what must still hold, what is taken once, what is written. */
function prepareAllow(allowed: Allowed, recording: Recording): PreparedAllow<ExecutionAnswer> {
  const { deps } = recording;
  const { verified, quote, minted, release } = allowed;
  const { admitted, host, environment } = verified;
  const { request, policy } = admitted;
  const facts = factsOf(allowed, recording);
  facts.inputs?.requireKeepable();
  const { sealed, released } = release;
  const authorization = textDigest(minted.token);
  const content = {
    ...leafFacts(facts, { authorization, sealed, released, evidence: minted.evidence }, deps),
    outcome: 'allow' as const,
  };
  const run = rememberRun(host, environment, quote);
  const change: Change = {
    leaf: leafBody(content),
    denialLeaf: denialBody(unanswered(content, admitted.evidence)),
    keepLonger: keepLonger(facts, deps),
    denialBodies: keptBodies(facts, [], deps).filter(isSmall),
    preconditions: [...preconditionsOf(verified, recording), ...release.preconditions, ...run.preconditions],
    once: onceOf(verified, minted),
    counters: countersOf(host, quote, admitted.challenge),
    budgets: budgetsOf(verified),
    writes: [
      { kind: EXECUTION, id: request.executionId, body: executionBody(recordOf(allowed, facts)) },
      ...rememberEvidence(host, admitted.evidence, environment, quote),
      ...run.writes,
    ],
    bodies: keptBodies(facts, [textBody(minted.token), textBody(minted.attestationResult)], deps),
  };
  return preparedAllow(change, {
    logSize: BigInt(request.logSize),
    answer: {
      authorization: minted.token,
      attestationResult: minted.attestationResult,
      policyManifest: policy.manifest,
      sealed,
    },
  });
}

function factsOf(
  { verified: { admitted, host, principals, artifact }, approval, quote }: Allowed,
  recording: Recording,
): AskedFacts {
  return executionFacts(
    {
      admitted,
      host,
      principals,
      signers: artifact.signers.map(({ key }) => key),
      deciding: approval.deciding,
    },
    quote.quote.attest,
    recording,
  );
}

/** Facts of an execution: what was asked is always there. */
type AskedFacts = LeafFacts & { readonly asked: NonNullable<LeafFacts['asked']> };

/** What of the decision the leaf tells; what was not reached is absent. */
function executionFacts(
  reached: Omit<Progress, 'stage' | 'admitted' | 'host'> & Required<Pick<Progress, 'admitted' | 'host'>>,
  signed: LeafFacts['signed'],
  recording: Recording,
): AskedFacts {
  const { admitted, host, principals, signers = [], deciding = [] } = reached;
  const { request, proofs, digest, evidence, policy, now } = admitted;
  const salts = drawSalts(recording.deps);
  const kept = keptRequest(request, salts);
  const received = {
    request: kept.sha256,
    proofs: [proofs.workload, proofs.parent, proofs.initiator],
    imaFirst: evidence.ima?.firstEntry ?? null,
  };
  return {
    purpose: 'execution',
    nonce: request.nonce,
    now,
    requestDigest: digest,
    executions: [request.executionId],
    evidence,
    host,
    signed,
    policy,
    deciding,
    parent: principals?.parent?.executionId ?? null,
    initiator: principals?.initiator ?? null,
    signers,
    asked: { request, salts, kept },
    inputs: keptInputs(recording.inputs(received)),
  };
}

/** What may have moved since it was read (PROTOCOL 8): read again under the head's lock. */
function preconditionsOf(
  { admitted, host, principals }: VerifiedRequest,
  recording: Recording,
): readonly Precondition[] {
  return [
    unchanged(host.record, 'state-moved', 'the host changed while the request was decided'),
    unchanged(admitted.policy.record, 'policy-moved', 'another policy bundle became active'),
    ...stillNotRevoked(recording.notRevoked()),
    ...ancestorPreconditions(principals.parent),
  ];
}

/** Nonce, execution id, status index and a bearer token work once. */
function onceOf(
  { admitted: { request, now }, principals: { initiator } }: VerifiedRequest,
  { claims }: MintedAuthorization,
): readonly OnceOnly[] {
  const bearer = initiator?.once ?? null;
  const { idx, uri } = claims.status.status_list;
  return [
    nonceOnce(request.nonce, now),
    {
      kind: 'execution',
      id: request.executionId,
      expires: Number.MAX_SAFE_INTEGER,
      check: 'replay-execution',
      reason: 'an execution of this id was decided before',
      made: uuidTime(request.executionId) - AHEAD_MS,
    },
    {
      kind: 'status-index',
      id: `${uri}#${String(idx)}`,
      expires: Number.MAX_SAFE_INTEGER,
      check: 'state-moved',
      reason: 'the status index was given to another execution: ask again',
    },
    ...(initiator === null || bearer === null
      ? []
      : [
          {
            kind: 'bearer-token',
            id: `${initiator.issuer}#${bearer.tokenId}`,
            expires: bearer.expires * 1000 + LATE,
            check: 'replay-token' as const,
            reason: 'the initiator’s token was used before',
            made: Number(initiator.claims['iat']) * 1000 - AHEAD_MS,
          },
        ]),
  ];
}

/** How far ahead of ours the clock of who made an id may be. */
const AHEAD_MS = 30_000;

/** Unix ms that a UUIDv7 says (RFC 9562). */
const uuidTime = (uuid: string): number => Number.parseInt(uuid.replace('-', '').slice(0, 12), 16);

function recordOf(allowed: Allowed, { asked }: AskedFacts): ExecutionRecord {
  const { verified, minted, quote } = allowed;
  const { admitted, host, principals, environment } = verified;
  const { claims, token } = minted;
  const { request, policy, digest } = admitted;
  const { parent, workload, initiator } = principals;
  const { resetCount, restartCount } = quote.quote.attest.clockInfo;
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
    boot: { resetCount, restartCount },
    ekRoot: host.ekRoot,
    ekIssuers: host.ekIssuers,
    policyHash: policy.bundle.hash,
    requestDigest: toHex(digest),
    credentials: request.credentials,
    sequence: 0,
    status: claims.status.status_list,
    request: asked.kept.sha256,
    initiator: initiator && {
      issuer: initiator.issuer,
      subject: initiator.subject,
      proven: initiator.proven,
      claims: initiator.claims,
      tokenSha256: initiator.tokenSha256,
    },
    executedDigest: environment.executedDigest,
    exit: null,
    reason: null,
    revokedBy: null,
  };
}

/** The leaf of a denial, when the enrolled key signed the quote. */
function executionDenial(denial: Denial, progress: Progress, recording: Recording): Change | undefined {
  const { admitted, host, quote } = progress;
  if (admitted === undefined || host === undefined || quote === undefined) return undefined;
  const facts = executionFacts({ ...progress, admitted, host }, quote.signed, recording);
  const change = denialChange(denial, facts, quote, recording.deps);
  const run = rememberDenied(host, admitted, quote.signed.clockInfo);
  return {
    ...change,
    preconditions: [...change.preconditions, ...run.preconditions],
    writes: [...change.writes, ...run.writes],
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
): Promise<Decided<ExecutionAnswer>> {
  return await commitDecision(await prepareExecution(body, caller, deps), deps, ledger);
}
