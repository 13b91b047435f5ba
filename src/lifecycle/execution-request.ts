import { createHash } from 'node:crypto';
import { scopeShape } from '../authorization/claims.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';
import { fromHex, jcsSha256, refuse, shape, utf8 } from '../base/index.ts';

const {
  base64url,
  boolean,
  decimal,
  hex32,
  integer,
  list,
  map,
  nullable,
  object,
  oneOf,
  set,
  sha256Text,
  text,
} = shape;

/** The key of the workload, as JWK: P-256, public. */
export interface WorkloadJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
}

/** What is to run: named, digested, signed. */
export interface RequestedArtifact {
  readonly name: string;
  /** `sha256:` and hex, of the file or of the tree's manifest. */
  readonly digest: string;
  readonly type: 'file' | 'tree';
  readonly signatures: readonly { readonly format: 'dsse' | 'cms' | 'ssh'; readonly data: string }[];
}

/** An execution request (docs/PROTOCOL.md). Everything that selects what runs is in it, so the digest binds it. */
export interface ExecutionRequest {
  readonly v: 1;
  readonly purpose: 'execution';
  /** Trust domain of the verifier that is asked: an answer can't be relayed to another one. */
  readonly verifier: string;
  readonly nonce: string;
  readonly hostId: string;
  /** UUIDv7. */
  readonly executionId: string;
  readonly nonceTPM: string;
  readonly policyHash: string;
  readonly logSize: string;
  readonly artifact: RequestedArtifact;
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  readonly interpreter: {
    readonly path: string;
    readonly sha256: string;
    readonly args: readonly string[];
  } | null;
  readonly privileged: boolean;
  readonly isolated: boolean;
  readonly scopes: readonly string[];
  readonly credentials: readonly string[];
  readonly initiator: string | null;
  readonly parent: string | null;
  readonly workloadPublic: WorkloadJwk;
}

/** Proofs beside the request: JWS `typ: exec-holder+jwt` by each key that is claimed. */
export interface ExecutionProofs {
  readonly workload: string;
  readonly parent: string | null;
  readonly initiator: string | null;
}

/** The body of `POST /v1/executions`. */
export interface ExecutionSubmission {
  readonly request: ExecutionRequest;
  readonly proofs: ExecutionProofs;
  readonly evidence: JsonObject;
}

// NUL ends a C string: what is after it would be measured but not run.
const noNul = (max: number, min = 0): Shape<string> =>
  text({ min, max, pattern: /^[^\0]*$/, want: 'a text without NUL' });
const name = text({ max: 256, pattern: /^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$/, want: 'a name' });
const path = text({ max: 4096, pattern: /^\/[^\0]*$/, want: 'an absolute path' });
const token = text({
  max: 16_384,
  pattern: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/,
  want: 'a compact JWS',
});
const UUID_V7 = text({
  pattern: /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  want: 'a UUIDv7',
});
const coordinate = text({ pattern: /^[A-Za-z0-9_-]{43}$/, want: 'a P-256 coordinate' });

const REQUEST: Shape<ExecutionRequest> = object({
  v: shape.literal(1),
  purpose: oneOf('execution'),
  verifier: name,
  nonce: base64url(128),
  hostId: hex32,
  executionId: UUID_V7,
  nonceTPM: base64url(90, 22),
  policyHash: sha256Text,
  logSize: decimal,
  artifact: object({
    name,
    digest: sha256Text,
    type: oneOf('file', 'tree'),
    signatures: list(object({ format: oneOf('dsse', 'cms', 'ssh'), data: base64url(350_000) }), 16),
  }),
  argv: list(noNul(128 * 1024), 1024, 1),
  environment: map(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, noNul(128 * 1024), 256),
  cwd: path,
  uid: integer(0, 0xffff_fffe),
  gid: integer(0, 0xffff_fffe),
  interpreter: nullable(object({ path, sha256: hex32, args: list(noNul(1024), 16) })),
  privileged: boolean,
  isolated: boolean,
  scopes: set(scopeShape, 64),
  credentials: set(name, 32),
  initiator: nullable(token),
  parent: nullable(token),
  workloadPublic: object({ kty: oneOf('EC'), crv: oneOf('P-256'), x: coordinate, y: coordinate }),
});

const PROOFS: Shape<ExecutionProofs> = object({
  workload: token,
  parent: nullable(token),
  initiator: nullable(token),
});

const anyObject: Shape<JsonObject> = (value, at, fail) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : fail(at, 'an object');
const SUBMISSION: Shape<ExecutionSubmission> = object({
  request: REQUEST,
  proofs: PROOFS,
  evidence: anyObject,
});

const fail: Fail = (at, want) => refuse('request-form', `${at} is not ${want}`, { member: at });

/**
 * The submission as a closed, typed object. @throws Refusal `request-form`
 */
export function parseExecutionSubmission(body: JsonObject): ExecutionSubmission {
  const submission = SUBMISSION(body, 'submission', fail);
  const { request, proofs } = submission;
  // A claim and its proof come together: neither is ever ignored.
  if ((request.parent === null) !== (proofs.parent === null))
    fail('submission.proofs.parent', 'there with a parent only');
  if (request.initiator === null && proofs.initiator !== null)
    fail('submission.proofs.initiator', 'there with an initiator only');
  return submission;
}

/** A request that the verifier kept, without its initiator's token. @throws Refusal `request-form` */
export function parseKeptRequest(request: JsonValue): ExecutionRequest {
  return REQUEST(request, 'request', fail);
}

/** SHA-256(JCS(request)): 32 bytes. */
export function requestDigest(request: ExecutionRequest): Uint8Array {
  return jcsSha256(request as unknown as JsonObject);
}

/** qualifyingData of the execution's quote: SHA-256(label ‖ nonce ‖ requestDigest). */
export function executionQualifyingData(nonce: Uint8Array, digest: Uint8Array): Uint8Array {
  return labelledDigest('sealgate/execution/v1\0', nonce, digest);
}

/** What PCR 23 is extended with after its reset: SHA-256(label ‖ nonce ‖ artifactDigest ‖ requestDigest). */
export function artifactMeasurement(
  nonce: Uint8Array,
  artifactDigest: string,
  digest: Uint8Array,
): Uint8Array {
  return labelledDigest(
    'sealgate/artifact/v1\0',
    nonce,
    fromHex(artifactDigest.replace(/^sha256:/, '')),
    digest,
  );
}

/** The value of PCR 23 in the sha256 bank after reset and one extend. */
export function artifactPcr(measurement: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(new Uint8Array(32)).update(measurement).digest());
}

/** policyRef of a first release: SHA-256(label ‖ executionId). */
export function releasePolicyRef(executionId: string): Uint8Array {
  return labelledDigest('sealgate/release/v1\0', utf8(executionId));
}

/** SHA-256(label ‖ parts). */
export function labelledDigest(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256').update(label);
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
