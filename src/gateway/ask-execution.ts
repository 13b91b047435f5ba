import { createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { askChallenge } from '../agent/challenge.ts';
import { hostEvidence } from '../agent/host-evidence.ts';
import type { HostEvidence } from '../agent/host-evidence.ts';
import { nameBytes } from '../agent/host-identity.ts';
import type { Host, HostQuote, LockedTpm } from '../agent/index.ts';
import { makeHolderProof, thumbprint } from '../authorization/index.ts';
import type { HolderBinding } from '../authorization/index.ts';
import { Refusal, fromBase64url, refuse, toBase64url } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import { submitExecution } from '../client/agent-api.ts';
import { decryptCredentials } from '../credential/index.ts';
import {
  artifactMeasurement,
  executionQualifyingData,
  quotedSelection,
  requestDigest as digestOf,
} from '../lifecycle/index.ts';
import type { ExecutionProofs, ExecutionRequest } from '../lifecycle/index.ts';
import { parseAttest } from '../tpm/index.ts';
import type { Session } from '../../native/index.ts';
import { verifyAnswer } from './verify-answer.ts';
import type { VerifiedAnswer } from './verify-answer.ts';

/** What is asked, as far as it is known before the TPM is used. */
export interface ExecutionPlan {
  readonly request: Omit<ExecutionRequest, 'nonce' | 'nonceTPM' | 'policyHash' | 'logSize'>;
  /** Manifest of an artifact that is a tree. */
  readonly tree: Uint8Array | undefined;
  /** Private key of the execution (P-256). */
  readonly workload: KeyObject;
  /** PKCS #8 PEM of the holders of initiator's token and parent. */
  readonly initiatorKey: string | null;
  readonly parentKey: string | null;
}

/** An execution that was allowed, verified and opened. */
export interface OpenedExecution {
  readonly request: ExecutionRequest;
  readonly answer: VerifiedAnswer;
  /** What was sealed: a release's JSON. */
  readonly opened: JsonObject;
}

/** PCR of the artifact. */
const ARTIFACT_PCR = 23;

/**
 * Asks for an execution (PROTOCOL 5): challenge; then under the TPM's lock the session, the measurement into PCR 23, the
 * quote and the logs after it, the request, the whole of PROTOCOL 9 over the answer, and unsealing.
 * @throws VerifierRefusal the denial; Refusal of {@link verifyAnswer}; `release-lost` when the TPM doesn't open
 */
export async function askExecution(host: Host, plan: ExecutionPlan, clock: Clock): Promise<OpenedExecution> {
  const challenge = await askChallenge(host, 'execution', clock);
  return await host.withTpmLock(async (locked) => {
    await using session = await host.releaseSession(locked.tpm);
    const request: ExecutionRequest = {
      ...plan.request,
      nonce: challenge.nonce,
      nonceTPM: toBase64url(await session.nonceTPM()),
      policyHash: challenge.policyHash,
      logSize: String(host.checkpoint.read().size),
    };
    const quoted = await quoteArtifact(host, request, challenge.selection, locked);
    try {
      const evidence = hostEvidence(host, challenge, quoted.quote, plan.tree);
      const json = await submitExecution(host.client, {
        // A request consists of JSON values; interfaces just have no index signature.
        request: request as unknown as JsonObject,
        proofs: (await proofsOf(request, quoted.digest, plan)) as unknown as JsonObject,
        evidence: evidence.collection,
      });
      const answer = await judge(host, json, { request, ...quoted, evidence, plan, clock });
      return { request, answer, opened: await open(host, answer, session, locked) };
    } finally {
      // Hygiene: the artifact's measurement doesn't stay in the PCR for what comes next.
      await locked.tpm.pcrReset(ARTIFACT_PCR).catch(() => undefined);
    }
  });
}

interface Quoted {
  readonly digest: Uint8Array;
  readonly quote: HostQuote;
}

async function quoteArtifact(
  host: Host,
  request: ExecutionRequest,
  selection: Parameters<typeof quotedSelection>[0],
  { tpm }: LockedTpm,
): Promise<Quoted> {
  const digest = digestOf(request);
  const nonce = fromBase64url(request.nonce, 'nonce');
  await tpm.pcrReset(ARTIFACT_PCR);
  await tpm.pcrExtend(ARTIFACT_PCR, { sha256: artifactMeasurement(nonce, request.artifact.digest, digest) });
  const quote = await host.quoteNow(quotedSelection(selection), executionQualifyingData(nonce, digest), tpm);
  return { digest, quote };
}

async function proofsOf(
  request: ExecutionRequest,
  requestDigest: Uint8Array,
  { workload, initiatorKey, parentKey }: ExecutionPlan,
): Promise<ExecutionProofs> {
  const binding: HolderBinding = { audience: request.verifier, nonce: request.nonce, requestDigest };
  const prove = async (pem: string | null): Promise<string | null> =>
    pem === null ? null : await makeHolderProof(binding, holderKey(pem));
  return {
    workload: await makeHolderProof(binding, workload),
    parent: await prove(parentKey),
    initiator: await prove(initiatorKey),
  };
}

/** @throws Refusal `run-order` */
function holderKey(pem: string): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // Refused below: what a key file holds is nobody's message.
  }
  return refuse('run-order', 'the key of initiator or parent is not a private P-256 key in PEM');
}

interface Sent extends Quoted {
  readonly request: ExecutionRequest;
  readonly evidence: HostEvidence;
  readonly plan: ExecutionPlan;
  readonly clock: Clock;
}

/** Judges the answer, and keeps what it proves: the checkpoint, the policy's version, what the verifier knows. */
async function judge(host: Host, json: JsonObject, sent: Sent): Promise<VerifiedAnswer> {
  const { request, digest, quote, evidence, plan, clock } = sent;
  const answer = await verifyAnswer(json, {
    trust: host.trust,
    request,
    requestDigest: digest,
    workloadThumbprint: await thumbprint(plan.workload),
    akName: host.identity.akName,
    quoted: parseAttest(quote.attest).clockInfo,
    quotedPcr: (bank, index) => quote.values.get(bank)?.get(index),
    evidence: evidence.digests,
    checkpoint: host.checkpoint.read(),
    policySeen: host.policySeen.read(),
    now: clock.now(),
  });
  host.checkpoint.advance(answer.log.checkpoint, answer.log.consistency);
  host.policySeen.raise(answer.policy);
  evidence.accepted();
  return answer;
}

/** @throws Refusal `release-lost` when the TPM refuses what was sealed for it a moment ago */
async function open(
  host: Host,
  { sealed }: VerifiedAnswer,
  session: Session,
  { tpm, signal }: LockedTpm,
): Promise<JsonObject> {
  const { ekTemplate, ekName } = host.identity;
  let key: Uint8Array;
  try {
    key = await tpm.openSealed({ session, sealed: sealed.object, ekTemplate, ekName: nameBytes(ekName) });
  } catch (error) {
    if (signal.aborted)
      return refuse('release-late', 'the TPM’s lock ended before the sealed credentials could be opened');
    // Somebody used the session's one opening, moved a PCR or reset the TPM: this host is not what it was a moment ago.
    const reason = error instanceof Error ? error.message : 'unknown';
    throw new ReleaseLost(sealed.binding.executionId, reason);
  }
  try {
    return await decryptCredentials(sealed.jwe, key, sealed.binding);
  } finally {
    key.fill(0);
  }
}

/** A release that this host asked for and could not open: reported to the verifier as what it is. */
export class ReleaseLost extends Refusal {
  readonly executionId: string;

  constructor(executionId: string, reason: string) {
    super('release-lost', `the TPM did not open the sealed credentials: ${reason}`, { executionId });
    this.executionId = executionId;
  }
}
