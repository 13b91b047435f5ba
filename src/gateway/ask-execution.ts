import type { KeyObject } from 'node:crypto';
import { askChallenge } from '../agent/challenge.ts';
import { hostEvidence } from '../agent/host-evidence.ts';
import type { HostEvidence } from '../agent/host-evidence.ts';
import { openRelease } from '../agent/open-release.ts';
import type { Host, HostChallenge, HostQuote, LockedTpm } from '../agent/index.ts';
import { makeHolderProof, thumbprint } from '../authorization/index.ts';
import type { HolderBinding } from '../authorization/index.ts';
import { fromBase64url, refuse, toBase64url } from '../base/index.ts';
import type { Clock, JsonObject } from '../base/index.ts';
import { submitExecution } from '../client/agent-api.ts';
import {
  artifactMeasurement,
  executionQualifyingData,
  quotedSelection,
  requestDigest as digestOf,
} from '../lifecycle/index.ts';
import type { ExecutionProofs, ExecutionRequest } from '../lifecycle/index.ts';
import { parseAttest } from '../tpm/index.ts';
import { holderKey } from './delegate/parent-holder.ts';
import type { ParentHolder } from './delegate/parent-holder.ts';
import { verifyAnswer } from './verify-answer.ts';
import type { VerifiedAnswer } from './verify-answer.ts';

/** What is asked, as far as it is known before the TPM is used. */
export interface ExecutionPlan {
  readonly request: Omit<ExecutionRequest, 'nonce' | 'nonceTPM' | 'policyHash' | 'logSize' | 'parent'>;
  /** Manifest of an artifact that is a tree. */
  readonly tree: Uint8Array | undefined;
  /** Private key of the execution (P-256). */
  readonly workload: KeyObject;
  /** PKCS #8 PEM of the holder of the initiator's token. */
  readonly initiatorKey: string | null;
  /** The execution that starts it. */
  readonly parent: ParentHolder | null;
  /**
   * Judges the artifact by the policy that the challenge names, and gives what has the kernel measure it; undefined where
   * nothing will be run.
   */
  readonly reveal: ((policyHash: string) => Promise<() => Promise<void>>) | undefined;
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
  const measure = await plan.reveal?.(challenge.policyHash);
  return await host.withTpmLock(async (locked) => {
    await using session = await host.releaseSession(locked.tpm);
    const request: ExecutionRequest = {
      ...plan.request,
      nonce: challenge.nonce,
      nonceTPM: toBase64url(await session.nonceTPM()),
      policyHash: challenge.policyHash,
      logSize: String(host.checkpoint.read().size),
      parent: plan.parent?.authorization() ?? null,
    };
    const digest = digestOf(request);
    // Others may have to prove something, and may not do it: the kernel has seen nothing until they have.
    const proofs = await proofsOf(request, digest, plan);
    // Under the lock, which attestations take as well: none of them sees a digest that nobody has decided about.
    await measure?.();
    const quoted = { digest, quote: await quoteArtifact(host, request, digest, { challenge, locked }) };
    try {
      const evidence = hostEvidence(host, challenge, quoted.quote, plan.tree);
      const submission = {
        // A request consists of JSON values; interfaces just have no index signature.
        request: request as unknown as JsonObject,
        proofs: proofs as unknown as JsonObject,
        evidence: evidence.collection,
      };
      const json = await submitExecution(host.client, submission, locked.signal);
      const answer = await judge(host, json, { request, ...quoted, evidence, plan, clock });
      return { request, answer, opened: await openRelease(host, answer.sealed, session, locked) };
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
  digest: Uint8Array,
  { challenge, locked: { tpm } }: { readonly challenge: HostChallenge; readonly locked: LockedTpm },
): Promise<HostQuote> {
  const nonce = fromBase64url(request.nonce, 'nonce');
  await tpm.pcrReset(ARTIFACT_PCR);
  await tpm.pcrExtend(ARTIFACT_PCR, { sha256: artifactMeasurement(nonce, request.artifact.digest, digest) });
  const selection = quotedSelection(challenge.selection);
  return await host.quoteNow(selection, executionQualifyingData(nonce, digest), tpm);
}

/** @throws Refusal `parent-state` when the parent was renewed since the request was made: another request has it */
async function parentProof(
  request: ExecutionRequest,
  binding: HolderBinding,
  parent: ParentHolder,
): Promise<string> {
  const proof = await parent.prove(binding);
  if (parent.authorization() !== request.parent) refuse('parent-state', 'the parent was renewed meanwhile');
  return proof;
}

async function proofsOf(
  request: ExecutionRequest,
  requestDigest: Uint8Array,
  { workload, initiatorKey, parent }: ExecutionPlan,
): Promise<ExecutionProofs> {
  const binding: HolderBinding = { audience: request.verifier, nonce: request.nonce, requestDigest };
  return {
    workload: await makeHolderProof(binding, workload),
    parent: parent === null ? null : await parentProof(request, binding, parent),
    initiator: initiatorKey === null ? null : await makeHolderProof(binding, holderKey(initiatorKey)),
  };
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
  await host.policySeen.accept(answer.policyManifest, host.trust, clock.now());
  evidence.accepted();
  return answer;
}
