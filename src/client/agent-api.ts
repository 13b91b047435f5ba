import type { JsonObject, JsonValue } from '../base/index.ts';
import type { VerifierClient } from './verifier-client.ts';

/*
 * What hosts ask (docs/PROTOCOL.md). Answers are JSON as received: whoever asked verifies them, since a verifier's word
 * alone is worth nothing to a host.
 */

const id = encodeURIComponent;
/** An execution's answer carries proof, policy manifest and sealed credentials. */
const ANSWER_BYTES = 16 * 1024 * 1024;

/** `POST /v1/enrollments`: EK, AK and agent key are offered. @returns the credential challenge */
export async function beginEnrollment(client: VerifierClient, request: JsonObject): Promise<JsonObject> {
  return (await client.request('POST', '/v1/enrollments', { body: request, expect: [201] })).json;
}

/** Answers the credential challenge. @returns `state` `active` with the certificate, or `pending` */
export async function activateEnrollment(
  client: VerifierClient,
  enrollmentId: string,
  answer: JsonObject,
): Promise<JsonObject> {
  const path = `/v1/enrollments/${id(enrollmentId)}/activate`;
  return (await client.request('POST', path, { body: answer, expect: [200, 202] })).json;
}

/** Asks whether an operator has approved. @param secret base64url, as it was activated */
export async function pollEnrollment(
  client: VerifierClient,
  enrollmentId: string,
  secret: string,
): Promise<JsonObject> {
  const path = `/v1/enrollments/${id(enrollmentId)}/poll`;
  return (await client.request('POST', path, { body: { secret }, expect: [200, 202] })).json;
}

/** A nonce, and advice about what to send with it. */
export async function requestChallenge(
  client: VerifierClient,
  purpose: 'execution' | 'attestation',
): Promise<JsonObject> {
  return (await client.request('POST', '/v1/challenges', { body: { v: 1, purpose }, expect: [201] })).json;
}

/** What an execution is asked for with: request, proofs of possession, evidence. */
export interface ExecutionSubmission {
  readonly request: JsonObject;
  readonly proofs: JsonObject;
  readonly evidence: JsonObject;
}

/**
 * Asks for an execution.
 * @param signal ends the wait for the answer
 * @throws VerifierRefusal with the leaf's index for a logged denial; the signal's reason
 */
export async function submitExecution(
  client: VerifierClient,
  { request, proofs, evidence }: ExecutionSubmission,
  signal: AbortSignal,
): Promise<JsonObject> {
  const body = { request, proofs, evidence };
  const options = { body, expect: [201], maxBytes: ANSWER_BYTES, signal };
  return (await client.request('POST', '/v1/executions', options)).json;
}

/** Reports that an execution started or ended. @param proof JWS by the workload key */
export async function reportOutcome(
  client: VerifierClient,
  executionId: string,
  event: 'started' | 'ended',
  proof: string,
): Promise<JsonObject> {
  const path = `/v1/executions/${id(executionId)}/${event}`;
  return (await client.request('POST', path, { body: { proof }, expect: [200] })).json;
}

/** An attestation of a host with all its executions. */
export interface AttestationSubmission {
  readonly request: JsonObject;
  /** One JWS for each execution, in their order. */
  readonly proofs: readonly string[];
  readonly evidence: JsonObject;
}

/** Attests a host; renews its executions and, near its end, the agent's certificate. */
export async function attestHost(
  client: VerifierClient,
  hostId: string,
  { request, proofs, evidence }: AttestationSubmission,
): Promise<JsonObject> {
  const path = `/v1/hosts/${id(hostId)}/attestations`;
  const options = { body: { request, proofs: [...proofs], evidence }, expect: [200], maxBytes: ANSWER_BYTES };
  return (await client.request('POST', path, options)).json;
}

/** Trust bundles (DSSE) from version 1 to the newest. */
export async function fetchTrustBundles(client: VerifierClient): Promise<readonly JsonValue[]> {
  return (await client.request('GET', '/v1/trust-bundles', { maxBytes: ANSWER_BYTES })).list;
}
