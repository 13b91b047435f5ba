import type { Fail, JsonObject, Shape } from '../base/index.ts';
import { fromBase64url, isJsonObject, jcsSha256, refuse, shape } from '../base/index.ts';
import { checkNonce } from './challenge.ts';
import { parseEvidence } from './evidence-collection.ts';
import { labelledDigest } from './execution-request.ts';
import type { Caller, DecisionDeps } from './ports.ts';
import type { Admitted } from './stages/request-stage.ts';
import { requireAddressee, requireCaller, requireLogSize, requirePolicy } from './stages/request-stage.ts';

/** An execution that is to go on: named by the authorization that it has now. */
export interface RenewalRequest {
  readonly executionId: string;
  /** Of its current authorization. */
  readonly jti: string;
  /** Renewals so far. */
  readonly sequence: number;
}

/** A host attestation (docs/PROTOCOL.md): what the host is now, and the executions that are to go on. */
export interface AttestationRequest {
  readonly v: 1;
  readonly purpose: 'attestation';
  readonly verifier: string;
  readonly nonce: string;
  readonly hostId: string;
  readonly nonceTPM: string;
  readonly logSize: string;
  readonly executions: readonly RenewalRequest[];
}

/** The body of `POST /v1/hosts/{hostId}/attestations`. */
interface AttestationSubmission {
  readonly request: AttestationRequest;
  readonly proofs: readonly string[];
  readonly evidence: JsonObject;
}

/** A leaf names at most as many. */
const MAX_EXECUTIONS = 256;
const { base64url, decimal, hex32, integer, list, literal, object, oneOf, text } = shape;
const EXECUTION_ID = text({
  pattern: /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  want: 'a UUIDv7',
});
const proof = text({ max: 4096, pattern: /^[\w-]+\.[\w-]+\.[\w-]+$/, want: 'a compact JWS' });
const json: Shape<JsonObject> = (value, path, no) => (isJsonObject(value) ? value : no(path, 'an object'));

const SUBMISSION: Shape<AttestationSubmission> = object({
  request: object({
    v: literal(1),
    purpose: oneOf('attestation'),
    verifier: text({ max: 256 }),
    nonce: base64url(128),
    hostId: hex32,
    nonceTPM: base64url(90, 22),
    logSize: decimal,
    executions: list(
      object({ executionId: EXECUTION_ID, jti: text({ max: 128 }), sequence: integer() }),
      MAX_EXECUTIONS,
    ),
  }),
  proofs: list(proof, MAX_EXECUTIONS),
  evidence: json,
});

const fail: Fail = (at, want) => refuse('request-form', `${at} is not ${want}`, { member: at });

/**
 * An attestation that is well formed, fresh, and from the host that it names, under whichever bundle is active: executions
 * go on under it or not at all.
 */
export interface AdmittedAttestation extends Admitted {
  readonly request: AttestationRequest;
  /** One for each execution, in their order. */
  readonly proofs: readonly string[];
}

/**
 * Stage `request` of a host attestation. The agent certificate may have ended: that is how a host that was off comes
 * back.
 * @param hostId of the route
 * @throws Refusal `request-form`, `evidence-form`, `malformed`, `wrong-verifier`, `caller-host`, `e2`, `nonce-expired`,
 *   `no-policy`, `policy-window`, `log-size`
 */
export async function admitAttestation(
  body: JsonObject,
  hostId: string,
  caller: Caller,
  deps: DecisionDeps,
): Promise<AdmittedAttestation> {
  const now = deps.clock.now();
  const { request, proofs, evidence } = SUBMISSION(body, 'submission', fail);
  if (request.hostId !== hostId) fail('submission.request.hostId', 'the host of the address');
  if (proofs.length !== request.executions.length) fail('submission.proofs', 'one for each execution');
  const ids = request.executions.map(({ executionId }) => executionId);
  if (new Set(ids).size !== ids.length) fail('submission.request.executions', 'a list with each once');
  requireAddressee(request.verifier, deps.trustDomain);
  requireCaller(caller, hostId);
  const { keys, epoch } = deps.challenge;
  const challenge = (deps.checkNonce ?? checkNonce)(
    request.nonce,
    keys,
    { purpose: 'attestation', hostId, epoch },
    now,
  );
  const policy = await requirePolicy(now, deps);
  await requireLogSize(request.logSize, deps);
  return {
    request,
    proofs,
    evidence: parseEvidence(evidence),
    digest: attestationDigest(request),
    nonce: fromBase64url(request.nonce, 'nonce'),
    challenge,
    policy,
    now,
  };
}

/** SHA-256(JCS(request)): 32 bytes. */
export function attestationDigest(request: AttestationRequest): Uint8Array {
  return jcsSha256(request as unknown as JsonObject);
}

/** qualifyingData of a host attestation's quote: SHA-256(label ‖ nonce ‖ requestDigest). */
export function attestationQualifyingData(nonce: Uint8Array, digest: Uint8Array): Uint8Array {
  return labelledDigest('sealgate/attestation/v1\0', nonce, digest);
}
