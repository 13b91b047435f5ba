import type { RevocableKind } from '../audit/index.ts';
import type { JsonObject, Shape } from '../base/index.ts';
import { isJsonObject, refuse, shape } from '../base/index.ts';
import type { WorkloadJwk } from './execution-request.ts';

/** Where an execution stands (docs/PROTOCOL.md). A denial never becomes a record. */
export const EXECUTION_STATES = [
  'issued',
  'running',
  'ended',
  'failed',
  'revoked',
  'expired',
  'lost',
] as const;
export type ExecutionState = (typeof EXECUTION_STATES)[number];

/** What the verifier keeps of an execution that it allowed. */
export interface ExecutionRecord {
  readonly v: 1;
  readonly state: ExecutionState;
  readonly hostId: string;
  readonly parent: string | null;
  /** The lineage's root: an execution id. */
  readonly root: string;
  readonly depth: number;
  readonly jti: string;
  /** Unix seconds: end of the last authorization. */
  readonly expires: number;
  /** Unix seconds of the first one. */
  readonly started: number;
  /** Authorizations, the root's first, this one's last. */
  readonly chain: readonly string[];
  readonly artifact: { readonly name: string; readonly digest: string };
  readonly workloadPublic: WorkloadJwk;
  readonly workloadThumbprint: string;
  /** Hex. */
  readonly ak: string;
  readonly boot: { readonly resetCount: number; readonly restartCount: number };
  /** Fingerprint of the authority that the EK certificate chained to when it was allowed; null without one. */
  readonly ekRoot: string | null;
  /** Fingerprints of the authorities between both. */
  readonly ekIssuers?: readonly string[];
  readonly policyHash: string;
  /** Hex. */
  readonly requestDigest: string;
  readonly credentials: readonly string[];
  /** Renewals so far. */
  readonly sequence: number;
  /** Where the authorization's status is published: the same through all renewals. */
  readonly status: { readonly idx: number; readonly uri: string };
  /** Hex SHA-256 of the kept request: what a renewal is judged by. */
  readonly request: string;
  /** What the initiator's token said; the token itself is not kept. */
  readonly initiator: {
    readonly issuer: string;
    readonly subject: string;
    readonly proven: boolean;
    readonly claims: JsonObject;
    readonly tokenSha256: string;
  } | null;
  /** Hex SHA-256 of what the kernel measured when it began; null where nothing measures. */
  readonly executedDigest: string | null;
  /** What the host reported at the end. */
  readonly exit: { readonly status: number } | { readonly signal: string } | null;
  readonly reason: string | null;
  /** What was revoked, in the state `revoked`. */
  readonly revokedBy: { readonly kind: RevocableKind; readonly id: string } | null;
}

/** Kinds of records that this folder writes. */
export const EXECUTION = 'execution';
/** `{ used }`: children on the account of an execution. */
export const CHILDREN = 'execution-children';
/** `{ used }`: executions of a host that have not ended. */
export const HOST_EXECUTIONS = 'host-executions';
export const IMA_STATE = 'ima-state';
/** `{ v, boot, eventLog }`: the event log that verified last, by digest. */
export const BOOT_EVIDENCE = 'boot-evidence';
/** `{ v, boot, digests }`: files that were authorized to run in this boot. */
export const RUN_DIGESTS = 'run-digests';
/** `{ v, at, status, policy }`: the last accepted attestation. */
export const ATTESTED = 'host-attested';

/** States in which an execution may still be renewed and report. */
export const ALIVE: ReadonlySet<ExecutionState> = new Set<ExecutionState>(['issued', 'running']);

/** What can be revoked. */
export const REVOCABLE_KINDS = [
  'host',
  'ak',
  'ek-ca',
  'artifact',
  'signer',
  'initiator',
  'authority',
  'policy',
  'execution',
] as const satisfies readonly RevocableKind[];

const { boolean, hex32, integer, list, literal, nullable, object, oneOf, sha256Text, text } = shape;
const id = text({ max: 64 });
const coordinate = text({ pattern: /^[A-Za-z0-9_-]{43}$/ });
const u32 = integer(0, 0xffff_ffff);
const exitStatus = object({ status: integer(0, 255) });
const exitSignal = object({ signal: text({ max: 16 }) });
const json: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');

const RECORD: Shape<ExecutionRecord> = object(
  {
    v: literal(1),
    state: oneOf(...EXECUTION_STATES),
    hostId: hex32,
    parent: nullable(id),
    root: id,
    depth: integer(0, 8),
    jti: text(),
    expires: integer(),
    started: integer(),
    chain: list(text({ max: 16 * 1024 }), 9, 1),
    artifact: object({ name: text(), digest: sha256Text }),
    workloadPublic: object({ kty: oneOf('EC'), crv: oneOf('P-256'), x: coordinate, y: coordinate }),
    workloadThumbprint: coordinate,
    ak: text({ pattern: /^[0-9a-f]{68,132}$/ }),
    boot: object({ resetCount: u32, restartCount: u32 }),
    ekRoot: nullable(hex32),
    policyHash: sha256Text,
    requestDigest: hex32,
    credentials: list(text(), 32),
    sequence: integer(),
    status: object({ idx: integer(), uri: text() }),
    request: hex32,
    initiator: nullable(
      object({ issuer: text(), subject: text(), proven: boolean, claims: json, tokenSha256: hex32 }),
    ),
    executedDigest: nullable(hex32),
    exit: nullable((value, path, fail) =>
      isJsonObject(value) && 'signal' in value
        ? exitSignal(value, path, fail)
        : exitStatus(value, path, fail),
    ),
    reason: nullable(text({ max: 600 })),
    revokedBy: nullable(object({ kind: oneOf(...REVOCABLE_KINDS), id: text({ max: 512 }) })),
  },
  { ekIssuers: list(hex32, 16) },
);

/** A record that was read. @throws Refusal `execution-record` when it isn't what this program writes */
export function parseExecutionRecord(body: JsonObject): ExecutionRecord {
  return RECORD(body, 'execution', (path, want) =>
    refuse('execution-record', `${path} is not ${want}`, { member: path }),
  );
}

/** The record as it is written. */
export function executionBody(record: ExecutionRecord): JsonObject {
  return record as unknown as JsonObject;
}
