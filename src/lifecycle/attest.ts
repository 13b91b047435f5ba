import { createPublicKey } from 'node:crypto';
import { denialBody, leafBody } from '../audit/index.ts';
import type { Change, Ledger } from '../audit/index.ts';
import { MAX_LIFETIME_SECONDS, thumbprint } from '../authorization/index.ts';
import { canonicalJson, jcsSha256, toHex, utf8 } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { IMA_PCR } from '../evidence/index.ts';
import { platformOf } from '../policy/index.ts';
import { admitAttestation, attestationQualifyingData } from './attestation-request.ts';
import type { AdmittedAttestation } from './attestation-request.ts';
import { namedEvidence, signResult, unchanged } from './stages/authorization-stage.ts';
import { commitDecision } from './commit-decision.ts';
import {
  denialChange,
  isSmall,
  keepLonger,
  keptBodies,
  keptInputs,
  keptBody,
  leafFacts,
  nonceOnce,
  textBody,
  unanswered,
} from './decision-leaf.ts';
import type { KeptBody, LeafFacts } from './decision-leaf.ts';
import { deny, denialOf } from './deny.ts';
import type { Denial, Stage } from './denial.ts';
import { storedEventLog, validateEnvironment } from './stages/environment-stage.ts';
import { ATTESTED } from './execution-record.ts';
import { countersOf, rememberEvidence } from './host-memory.ts';
import { identifyHost } from './stages/identity-stage.ts';
import { enrolled } from './stages/policy-stage.ts';
import type { Caller, DecisionDeps, HostFacts } from './ports.ts';
import { preparedAllow } from './prepared.ts';
import type { CommittedAnswer, Decided, Prepared } from './prepared.ts';
import { authenticateQuote, quotedSelection } from './stages/quote-stage.ts';
import type { SignedQuote } from './stages/quote-stage.ts';
import { recordDecision } from './repeat/record-decision.ts';
import type { Recording } from './repeat/record-decision.ts';
import { stillNotRevoked } from './not-revoked.ts';
import { renewAll, sealRenewals } from './renew-all.ts';
import type { Ended, Renewals } from './renew-all.ts';
import type { Attested, Renewal } from './renewal.ts';
import type { Released } from './stages/sealing-stage.ts';

/** Answer to a host attestation (docs/PROTOCOL.md, "Host attestation"). */
export interface AttestationAnswer extends CommittedAnswer {
  /** EAR as JWT. */
  readonly attestationResult: string;
  readonly agentCertificatePem: string | null;
  readonly policyManifest: JsonObject;
  /** Of the executions that go on, in the request's order. */
  readonly authorizations: readonly string[];
  /** Those that don't. */
  readonly ended: readonly Ended[];
  /** Those for which this attestation has no room: as they were, and to be named in another one. */
  readonly deferred: readonly string[];
  readonly sealed: JsonObject | null;
}

/** An agent certificate is renewed when less than this is left of it: ms. */
const RENEW_BEFORE = 12 * 3_600_000;

/** What is known when a stage says no. */
interface Progress {
  stage: Stage;
  admitted?: AdmittedAttestation;
  host?: HostFacts;
  quote?: SignedQuote;
}

/** A prepared attestation, and the executions that end by it. */
interface PreparedAttestation {
  readonly prepared: Prepared<AttestationAnswer>;
  readonly ends: readonly Change[];
}

/**
 * Attests a host: one quote and the tail of its IMA list serve the host and every execution that is to go on. Each of
 * those is decided for itself by all stages again; one that may not go on is named in the answer and ends.
 * @param body the JSON of `POST /v1/hosts/{hostId}/attestations`, parsed strictly
 * @param hostId of the address
 */
export async function decideAttestation(
  body: JsonObject,
  hostId: string,
  caller: Caller,
  deps: DecisionDeps,
  ledger: Ledger,
): Promise<Decided<AttestationAnswer>> {
  const { prepared, ends } = await prepareAttestation(body, hostId, caller, deps);
  const decided = await commitDecision(prepared, deps, ledger);
  if (decided.outcome === 'allow') await commitEnds(ends, deps, ledger);
  return decided;
}

/** An end that can't be written now is found when the authorization runs out. */
async function commitEnds(ends: readonly Change[], deps: DecisionDeps, ledger: Ledger): Promise<void> {
  const settled = await Promise.allSettled(ends.map((end) => ledger.commit(end)));
  for (const one of settled) if (one.status === 'rejected') deps.onFault?.(one.reason, 'audit');
}

/** An attestation up to the changes that have to be committed; who repeats the decision calls it, too. */
export async function prepareAttestation(
  body: JsonObject,
  hostId: string,
  caller: Caller,
  deps: DecisionDeps,
): Promise<PreparedAttestation> {
  const recording = recordDecision('attestation', caller, deps);
  const progress: Progress = { stage: 'request' };
  try {
    return await runStages({ body, hostId, caller }, recording, progress);
  } catch (error) {
    const leafOf = (denial: Denial) => attestationDenial(denial, progress, recording);
    return { prepared: deny(error, progress.stage, deps, leafOf), ends: [] };
  }
}

interface Submitted {
  readonly body: JsonObject;
  readonly hostId: string;
  readonly caller: Caller;
}

async function runStages(
  submitted: Submitted,
  recording: Recording,
  progress: Progress,
): Promise<PreparedAttestation> {
  const { deps } = recording;
  const { hostId, caller } = submitted;
  const judged = await judgeStages(submitted, deps, progress);
  const { host, environment } = judged;
  const { request, evidence, policy, now } = judged.admitted;

  progress.stage = 'authorization';
  const issuedAt = Math.floor(now / 1000);
  const confirmation = await agentThumbprint(host);
  const terms = { hostId, nonce: request.nonce, confirmation, policyHash: policy.bundle.hash };
  const attestationResult = await signResult(
    environment,
    { ...terms, issuedAt, expires: issuedAt + MAX_LIFETIME_SECONDS },
    deps,
  );
  const named = namedEvidence(evidence, attestationResult);
  const attested: Attested = { ...judged, evidence: named };
  const renewals = await renewAll(attested, deps);

  progress.stage = 'sealing';
  const sealed = await sealRenewals(attested, renewals.renewed, deps);
  const certificate = await renewCertificate(attested, caller, deps);

  progress.stage = 'audit';
  return prepareAllow({ attested, attestationResult, renewals, sealed, certificate }, recording);
}

/** What the stages found that judge a host. */
type Judged = Omit<Attested, 'evidence'>;

/**
 * Why the stages that judge a host would deny its attestation; null where they don't. For a bundle that is staged: the
 * executions that are to go on aren't looked at, and nothing is made.
 */
export async function judgeAttestation(submitted: Submitted, deps: DecisionDeps): Promise<Denial | null> {
  const progress: Progress = { stage: 'request' };
  try {
    await judgeStages(submitted, deps, progress);
    return null;
  } catch (error) {
    return denialOf(error, progress.stage, deps);
  }
}

async function judgeStages(
  { body, hostId, caller }: Submitted,
  deps: DecisionDeps,
  progress: Progress,
): Promise<Judged> {
  const admitted = (progress.admitted = await admitAttestation(body, hostId, caller, deps));

  progress.stage = 'identity';
  const { request, evidence, policy, now } = admitted;
  const host = (progress.host = await identifyHost({ hostId, policy, purpose: 'attestation' }, caller, deps));

  progress.stage = 'environment';
  const platform = platformOf(policy.bundle, enrolled(host), now);
  const quote = await authenticateQuote(
    {
      evidence,
      host,
      platform,
      qualifyingData: attestationQualifyingData(admitted.nonce, admitted.digest),
      selection: quotedSelection(platform.quoted, [IMA_PCR]),
      nonce: request.nonce,
      challenge: admitted.challenge,
      caller,
      now,
    },
    deps,
    (signed) => {
      progress.quote = signed;
    },
  );
  const environment = await validateEnvironment(
    {
      quote,
      evidence,
      host,
      storedLog: await storedEventLog(host, evidence, deps),
      platform,
      imaRules: policy.imaRules(platform.name, now),
      artifact: null,
    },
    deps,
  );
  return { admitted, host, platform, quote, environment };
}

async function agentThumbprint({ agentPublic }: HostFacts): Promise<string> {
  const key = createPublicKey({ key: Buffer.from(agentPublic), format: 'der', type: 'spki' });
  return await thumbprint(key);
}

/** A new agent certificate for an active host whose own ends soon or has ended. */
async function renewCertificate(
  { host, admitted: { now } }: Attested,
  caller: Caller,
  { agents }: DecisionDeps,
): Promise<{ readonly pem: string; readonly released: Released } | null> {
  if (host.state !== 'active' || caller.notAfter - now > RENEW_BEFORE) return null;
  const { pem, serial, expires } = await agents.renew(host.hostId, now);
  const end = new Date(expires).toISOString();
  return { pem, released: { kind: 'agent-certificate', name: host.name, serial, expires: end } };
}

/** Everything that the stages made. */
interface Allowed {
  readonly attested: Attested;
  readonly attestationResult: string;
  readonly renewals: Renewals;
  readonly sealed: JsonObject | null;
  readonly certificate: Awaited<ReturnType<typeof renewCertificate>>;
}

function prepareAllow(allowed: Allowed, recording: Recording): PreparedAttestation {
  const { deps } = recording;
  const { attested, attestationResult, renewals, sealed, certificate } = allowed;
  const { admitted, host, quote, environment } = attested;
  const { renewed, ended, deferred, ends } = renewals;
  const authorizations = renewed.map(({ token }) => token);
  const { facts, request } = factsOf(admitted, host, quote.quote.attest, renewed, recording);
  facts.inputs?.requireKeepable();
  const content = {
    ...leafFacts(facts, { ...releaseOf(allowed), authorization: digestOf(authorizations) }, deps),
    outcome: 'allow' as const,
  };
  const change: Change = {
    leaf: leafBody(content),
    denialLeaf: denialBody(unanswered(content, admitted.evidence)),
    keepLonger: keepLonger(facts, deps),
    denialBodies: [...keptBodies(facts, [request], deps)].filter(isSmall),
    preconditions: [
      unchanged(host.record, 'state-moved', 'the host changed while the attestation was decided'),
      unchanged(admitted.policy.record, 'policy-moved', 'another policy bundle became active'),
      ...stillNotRevoked(recording.notRevoked()),
      ...renewed.flatMap(({ preconditions }) => preconditions),
    ],
    once: [nonceOnce(admitted.request.nonce, admitted.now)],
    counters: countersOf(host, quote, admitted.challenge),
    writes: [
      ...renewed.map(({ write }) => write),
      ...rememberEvidence(host, admitted.evidence, environment, quote),
      attestedWrite(attested),
    ],
    bodies: keptBodies(facts, [request, textBody(attestationResult), ...listBody(authorizations)], deps),
  };
  const prepared = preparedAllow<AttestationAnswer>(change, {
    logSize: BigInt(admitted.request.logSize),
    answer: {
      attestationResult,
      agentCertificatePem: certificate?.pem ?? null,
      policyManifest: admitted.policy.manifest,
      authorizations,
      ended,
      deferred,
      sealed,
    },
  });
  return { prepared, ends };
}

function releaseOf({ attested, renewals: { renewed }, sealed, certificate }: Allowed) {
  const released = renewed.flatMap((one) => one.released);
  return {
    sealed,
    released: certificate === null ? released : [...released, certificate.released],
    evidence: attested.evidence,
  };
}

/** The list of renewed authorizations as it is kept. */
function listBody(authorizations: readonly string[]): readonly KeptBody[] {
  return authorizations.length === 0 ? [] : [keptBody(utf8(canonicalJson([...authorizations])))];
}

/** SHA-256 over the JCS of the list of renewed authorizations; null when there is none. */
function digestOf(authorizations: readonly string[]): string | null {
  return authorizations.length === 0 ? null : `sha256:${toHex(jcsSha256([...authorizations]))}`;
}

function attestedWrite({ admitted, host, environment }: Attested): Change['writes'][number] {
  const { status } = environment.appraisal;
  const at = new Date(admitted.now).toISOString();
  const body = { v: 1, at, status, policy: admitted.policy.bundle.hash };
  return { kind: ATTESTED, id: host.hostId, body };
}

/** What the leaf tells, and the request as it is kept. */
function factsOf(
  { request: asked, proofs, digest, evidence, policy, now }: AdmittedAttestation,
  host: HostFacts,
  signed: LeafFacts['signed'],
  renewed: readonly Renewal[],
  recording: Recording,
): { readonly facts: LeafFacts; readonly request: KeptBody } {
  const request = keptBody(utf8(canonicalJson(asked as unknown as JsonObject)));
  const imaFirst = evidence.ima?.firstEntry ?? null;
  const inputs = recording.inputs({ request: request.sha256, proofs, imaFirst });
  const facts: LeafFacts = {
    purpose: 'attestation',
    nonce: asked.nonce,
    now,
    requestDigest: digest,
    executions: renewed.map(({ executionId }) => executionId),
    evidence,
    host,
    signed,
    policy,
    deciding: [...new Set(renewed.flatMap(({ deciding }) => deciding))],
    parent: null,
    initiator: null,
    signers: renewed.flatMap(({ signers }) => signers),
    asked: null,
    inputs: keptInputs(inputs),
  };
  return { facts, request };
}

/** The leaf of a denial, when the enrolled key signed the quote. */
function attestationDenial(denial: Denial, progress: Progress, recording: Recording): Change | undefined {
  const { admitted, host, quote } = progress;
  if (admitted === undefined || host === undefined || quote === undefined) return undefined;
  const { facts, request } = factsOf(admitted, host, quote.signed, [], recording);
  return denialChange(denial, facts, quote, recording.deps, [request]);
}
