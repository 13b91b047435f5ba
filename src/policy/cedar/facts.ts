import type { JsonValue } from '../../base/index.ts';
import { refuse } from '../../base/index.ts';
import type { TrustTier, TrustVector } from '../../appraisal/index.ts';

/** An entity of the schema. */
export interface EntityUid {
  readonly type: 'Execution' | 'Initiator' | 'Host' | 'Operator' | 'Artifact' | 'Policy' | 'Secret' | 'Key';
  readonly id: string;
}

/** One question to the policy engine; the context has exactly the members of the schema. */
export interface PolicyRequest {
  readonly principal: EntityUid;
  readonly action: PolicyAction;
  readonly resource: EntityUid;
  readonly context: Readonly<Record<string, CedarValue>>;
}

/** Values that a context can hold. No null, no fractions, no entity: what is absent is left out. */
export type CedarValue = string | boolean | number | readonly CedarValue[] | CedarRecord;
export interface CedarRecord {
  readonly [name: string]: CedarValue;
}

export const ADMIN_ACTIONS = [
  'Invite',
  'Approve',
  'Quarantine',
  'Restore',
  'Label',
  'Revoke',
  'Stage',
  'Publish',
  'PutSecret',
  'RotateSecret',
  'RemoveSecret',
] as const;
export type AdminAction = (typeof ADMIN_ACTIONS)[number];
export type PolicyAction = 'Execute' | 'Enroll' | AdminAction;

/** Verified facts about a host. */
export interface HostFacts {
  readonly id: string;
  readonly name: string;
  readonly platform: string;
  /** `key=value`, from the operator. */
  readonly labels: readonly string[];
  /** Names of the bundle's host sets that it belongs to (`hostSetsOf`). */
  readonly sets: readonly string[];
  readonly manufacturer?: string;
  readonly state: 'active' | 'quarantined' | 'pending' | 'revoked';
  readonly runtime: 'measured' | 'unmeasured';
  readonly appraisal: {
    readonly status: TrustTier;
    readonly vector: TrustVector;
    /** From where something could run without being measured. */
    readonly exempt: readonly string[];
  };
}

/** Everything verified about an execution request. */
export interface ExecuteFacts {
  /** Unix seconds. */
  readonly time: number;
  readonly host: HostFacts;
  readonly artifact: {
    readonly name: string;
    readonly digest: string;
    readonly type: 'file' | 'tree';
    readonly version?: string;
    /** What the kernel measured for it; absent on an unmeasured platform. */
    readonly executedDigest?: string;
    /** Fingerprints of the trusted keys whose signatures counted. */
    readonly signers: readonly string[];
  };
  readonly initiator?: {
    readonly issuer: string;
    readonly subject: string;
    /** True when the token's `cnf` key signed this request; false for a bearer token. */
    readonly proven: boolean;
    /** Only those that the bundle selects (`selectClaims`). */
    readonly claims: CedarRecord;
  };
  readonly request: {
    readonly scopes: readonly string[];
    readonly credentials: readonly string[];
    readonly privileged: boolean;
    readonly isolated: boolean;
    readonly argv: readonly string[];
    /** Names only: values may be secrets. */
    readonly environment: readonly string[];
    readonly cwd: string;
    readonly uid: number;
    readonly gid: number;
    readonly interpreter: {
      readonly path: string;
      readonly sha256: string;
      /** The kernel measured this file with this digest in this boot; else the digest is the host's word. */
      readonly measured: boolean;
      readonly args: readonly string[];
    } | null;
  };
  readonly parent?: {
    readonly execution: string;
    readonly host: string;
    readonly artifact: string;
    readonly scopes: readonly string[];
    readonly depth: number;
  };
  /** Who answers for it all: the same along a chain. Left out: the initiator, else the host. */
  readonly origin?: string;
}

/** The question of a decision: may this principal execute this artifact? */
export function executeRequest(facts: ExecuteFacts): PolicyRequest {
  const { host, artifact, initiator, request, parent } = facts;
  const { origin = initiator === undefined ? host.id : `${initiator.issuer}#${initiator.subject}` } = facts;
  const { argv, interpreter, ...asked } = request;
  return {
    principal: actingPrincipal(facts),
    action: 'Execute',
    resource: { type: 'Artifact', id: artifact.digest },
    context: {
      time: facts.time,
      host: { ...host, appraisal: { ...host.appraisal, vector: vectorRecord(host.appraisal.vector) } },
      artifact: { ...artifact },
      request: {
        ...asked,
        argv0: argv[0] ?? refuse('policy-request', 'no command'),
        arguments: argv.slice(1),
        argumentCount: argv.length - 1,
        ...(interpreter === null ? {} : { interpreter: interpreterRecord(interpreter) }),
      },
      delegation: { origin, depth: parent === undefined ? 0 : parent.depth + 1 },
      ...(initiator === undefined ? {} : { initiator: { ...initiator } }),
      ...(parent === undefined ? {} : { parent: { ...parent } }),
    },
  };
}

function interpreterRecord({
  path,
  sha256,
  measured,
  args,
}: NonNullable<ExecuteFacts['request']['interpreter']>) {
  return { path, sha256, measured, arguments: args };
}

/** The execution that asks for a child, else the initiator, else the host. */
function actingPrincipal({ parent, initiator, host }: ExecuteFacts): EntityUid {
  if (parent !== undefined) return { type: 'Execution', id: parent.execution };
  if (initiator !== undefined)
    return { type: 'Initiator', id: initiatorId(initiator.issuer, initiator.subject) };
  return { type: 'Host', id: host.id };
}

/** One id for issuer and subject: the subject is escaped, so no two pairs give the same text. */
export function initiatorId(issuer: string, subject: string): string {
  return `${issuer}#${encodeURIComponent(subject)}`;
}

const VECTOR_NAMES = {
  'instance-identity': 'instanceIdentity',
  configuration: 'configuration',
  executables: 'executables',
  'file-system': 'fileSystem',
  hardware: 'hardware',
  'storage-opaque': 'storageOpaque',
  'sourced-data': 'sourcedData',
} as const;

function vectorRecord(vector: TrustVector): CedarRecord {
  return Object.fromEntries(
    Object.entries(VECTOR_NAMES).flatMap(([claim, name]) => {
      const value = vector[claim as keyof typeof VECTOR_NAMES];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

/** What an operator wants to do, as verified from the client certificate. */
export interface AdminFacts {
  readonly time: number;
  readonly action: AdminAction;
  readonly operator: { readonly name: string; readonly roles: readonly string[] };
  /** `kind` as on the command line: host, ak, ek-ca, artifact, signer, initiator, authority, policy, execution, secret, operator. */
  readonly target: { readonly kind: string; readonly id: string };
}

const TARGET_TYPES: Readonly<Record<string, EntityUid['type']>> = {
  host: 'Host',
  execution: 'Execution',
  artifact: 'Artifact',
  initiator: 'Initiator',
  policy: 'Policy',
  secret: 'Secret',
  ak: 'Key',
  'ek-ca': 'Key',
  signer: 'Key',
  authority: 'Key',
  // By its certificate's serial number.
  operator: 'Key',
};

/** @throws Refusal `policy-request` for a kind of target that there isn't */
export function adminRequest({ time, action, operator, target }: AdminFacts): PolicyRequest {
  const type = Object.hasOwn(TARGET_TYPES, target.kind) ? TARGET_TYPES[target.kind] : undefined;
  if (type === undefined) return refuse('policy-request', 'no such kind of target', { kind: target.kind });
  return {
    principal: { type: 'Operator', id: operator.name },
    action,
    resource: { type, id: target.id },
    // Member by member: what a caller has besides would make the request one that the schema doesn't know.
    context: {
      time,
      operator: { name: operator.name, roles: operator.roles },
      target: { kind: target.kind, id: target.id },
    },
  };
}

/** What is known of a host that enrolls. */
export interface EnrollFacts {
  readonly time: number;
  readonly hostId: string;
  readonly admission: 'token' | 'ek-list' | 'approval';
  readonly platform: string;
  readonly labels: readonly string[];
  /** A manufacturer's EK certificate verified. */
  readonly certified: boolean;
}

export function enrollRequest({ hostId, ...facts }: EnrollFacts): PolicyRequest {
  const host: EntityUid = { type: 'Host', id: hostId };
  return { principal: host, action: 'Enroll', resource: host, context: { ...facts } };
}

/** Depth of a context's values; the deepest of the schema is 4. */
const MAX_CONTEXT_DEPTH = 8;

/**
 * Checks that a value is one that means the same to everybody: strings, booleans, safe integers, lists, records.
 * Escapes of Cedar's JSON form (`__entity`, `__extn`) would turn a text into something else.
 * @throws Refusal `policy-request`
 */
export function requireCedarValue(value: unknown, path: string, depth = 0): asserts value is CedarValue {
  if (depth > MAX_CONTEXT_DEPTH) refuse('policy-request', `${path} is nested too deeply`, { member: path });
  if (typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isSafeInteger(value)) return;
  if (Array.isArray(value)) {
    value.forEach((item, i) => {
      requireCedarValue(item, `${path}[${String(i)}]`, depth + 1);
    });
    return;
  }
  if (typeof value !== 'object' || value === null)
    refuse('policy-request', `${path} is not a text, boolean, safe integer, list or record`, {
      member: path,
    });
  for (const [name, member] of Object.entries(value)) {
    if (name.startsWith('__')) refuse('policy-request', `${path} has an escape`, { member: path });
    requireCedarValue(member, `${path}.${name}`, depth + 1);
  }
}

/** A JSON value as a Cedar value, or undefined when it can't be one. */
export function asCedarValue(value: JsonValue): CedarValue | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined;
  if (!Array.isArray(value)) return undefined;
  const items = value as readonly JsonValue[];
  return items.every((item) => typeof item === 'string') ? items : undefined;
}
