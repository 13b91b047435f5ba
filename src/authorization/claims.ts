import type { JsonObject, JsonValue } from '../base/index.ts';
import { isJsonObject, parseJsonObject, refuse } from '../base/index.ts';

/** `typ` of an authorization artifact; no other key or verifier of this project accepts it. */
export const AUTHORIZATION_TYPE = 'exec-authz+jwt';
/** Longest life of one authorization artifact, in seconds (renewed by attestation). */
export const MAX_LIFETIME_SECONDS = 300;
/** Hard cap on the length of a delegation chain, whatever policy says. */
export const MAX_DEPTH = 8;
/** Clock difference that is tolerated between verifiers and gateways, in seconds. */
export const SKEW_SECONDS = 30;
/** Size bounds of one artifact, in bytes and values. */
export const CLAIMS_LIMITS = { maxBytes: 16 * 1024, maxDepth: 8, maxValues: 2_000 } as const;

/** What may be run, where, for what (RFC 9396, one closed object). */
export interface ExecutionDetails {
  readonly type: 'sealgate_execution';
  readonly actions: readonly string[];
  /** `sha256:` and 64 hex digits. */
  readonly artifact: string;
  /** hostId: 64 hex digits. */
  readonly host: string;
  readonly scopes: readonly string[];
  readonly constraints: Constraints;
}

/** Counted and other limits; each one that a parent has must be there in a child, equal or tighter. */
export interface Constraints {
  /** Executions that this one may start, all descendants counted. */
  readonly children?: number;
  /** Seconds after the start of the chain's root at which everything ends. */
  readonly lifetime?: number;
  /** Uses of the authorization by a relying party that counts. */
  readonly uses?: number;
  /** Audiences that tokens may name; a set. */
  readonly audiences?: readonly string[];
}

/** Who acted before, newest first (RFC 8693 `act`); for audit, no right follows from it. */
export interface Actor {
  readonly sub: string;
  readonly act?: Actor;
}

/** The claims of an authorization artifact (docs/AUTHORIZATION.md maps the eight contents to them). */
export interface AuthorizationClaims {
  readonly iss: string;
  /** The accountable origin: the same along the whole chain. */
  readonly sub: string;
  readonly aud: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti: string;
  /** The acting execution or initiator. */
  readonly client_id: string;
  readonly act?: Actor;
  /** The lineage's root: an execution id. */
  readonly txn: string;
  /** Thumbprint (RFC 7638) of the workload key that holds this authorization. */
  readonly cnf: { readonly jkt: string };
  readonly eat_nonce: string;
  readonly authorization_details: readonly [ExecutionDetails];
  readonly del_depth: number;
  readonly del_max_depth: number;
  /** base64url SHA-256 of the parent's signing input; absent at depth 0. */
  readonly par_hash?: string;
  readonly status: { readonly status_list: { readonly idx: number; readonly uri: string } };
  readonly policy: { readonly uri: string; readonly digest: string; readonly ids: readonly string[] };
  readonly evidence: readonly { readonly name: string; readonly sha256: string }[];
  readonly gov: { readonly trust_domain: string; readonly authorities: readonly string[] };
  /** Operational attribution, from verified statements and policy, never from the requester. */
  readonly attr: {
    readonly owner?: string;
    readonly purpose?: string;
    readonly change?: string;
    readonly signers: readonly string[];
  };
}

type Shape = (value: JsonValue, path: string) => void;

const bad = (path: string, want: string): never =>
  refuse('authorization-form', `${path} is not ${want}`, { member: path });

const text: Shape = (value, path) => {
  if (typeof value !== 'string' || value.length === 0 || value.length > 1024)
    bad(path, 'a text of 1 to 1024 characters');
};
const count: Shape = (value, path) => {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) bad(path, 'a whole number');
};
const matching =
  (pattern: RegExp, want: string): Shape =>
  (value, path) => {
    if (typeof value !== 'string' || !pattern.test(value)) bad(path, want);
  };
const SHA256_TEXT = matching(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hex digits');
const HEX32 = matching(/^[0-9a-f]{64}$/, '64 hex digits');
const HASH_B64 = matching(/^[A-Za-z0-9_-]{43}$/, 'a base64url SHA-256');
/** Dotted names; a last `*` covers everything below (REFERENCE I). */
export const SCOPE_PATTERN = /^[a-z0-9_-]{1,64}(?:\.[a-z0-9_-]{1,64}){0,15}(?:\.\*)?$/;

const list =
  (item: Shape, max: number, min = 0): Shape =>
  (value, path) => {
    if (!Array.isArray(value) || value.length < min || value.length > max)
      bad(path, `a list of ${String(min)} to ${String(max)}`);
    (value as JsonValue[]).forEach((entry, i) => {
      item(entry, `${path}[${String(i)}]`);
    });
  };
/** A list without repetition: sets are compared as sets. */
const set =
  (item: Shape, max: number): Shape =>
  (value, path) => {
    list(item, max)(value, path);
    if (new Set(value as JsonValue[]).size !== (value as JsonValue[]).length) bad(path, 'without repetition');
  };
/** A closed object: every required member, no unknown one. */
const object =
  (required: Readonly<Record<string, Shape>>, optional: Readonly<Record<string, Shape>> = {}): Shape =>
  (value, path) => {
    if (!isJsonObject(value)) return bad(path, 'an object');
    for (const name of Object.keys(required))
      if (!Object.hasOwn(value, name)) bad(`${path}.${name}`, 'present');
    for (const [name, member] of Object.entries(value)) {
      const shape = Object.hasOwn(required, name)
        ? required[name]
        : Object.hasOwn(optional, name)
          ? optional[name]
          : undefined;
      if (shape === undefined) bad(`${path}.${name}`, 'a known member');
      else shape(member, `${path}.${name}`);
    }
  };

const actor: Shape = (value, path) => {
  object({ sub: text }, { act: actor })(value, path);
};

const DETAILS = object({
  type: matching(/^sealgate_execution$/, 'sealgate_execution'),
  actions: set(text, 16),
  artifact: SHA256_TEXT,
  host: HEX32,
  scopes: set(matching(SCOPE_PATTERN, 'a scope'), 64),
  constraints: object({}, { children: count, lifetime: count, uses: count, audiences: set(text, 64) }),
});

const CLAIMS = object(
  {
    iss: text,
    sub: text,
    aud: text,
    iat: count,
    nbf: count,
    exp: count,
    jti: text,
    client_id: text,
    txn: text,
    cnf: object({ jkt: HASH_B64 }),
    eat_nonce: text,
    authorization_details: list(DETAILS, 1, 1),
    del_depth: count,
    del_max_depth: count,
    status: object({ status_list: object({ idx: count, uri: text }) }),
    policy: object({ uri: text, digest: SHA256_TEXT, ids: list(text, 256) }),
    evidence: list(object({ name: text, sha256: HEX32 }), 16),
    gov: object({ trust_domain: text, authorities: list(text, 64) }),
    attr: object({ signers: list(text, 64) }, { owner: text, purpose: text, change: text }),
  },
  { act: actor, par_hash: HASH_B64 },
);

/**
 * Parses the payload of an authorization artifact: a closed object, every member typed and bounded.
 * Nothing here says that it is signed or in its time.
 * @throws Refusal `malformed`, `authorization-form`
 */
export function parseClaims(payload: Uint8Array): AuthorizationClaims {
  const value = parseJsonObject(payload, 'authorization', CLAIMS_LIMITS);
  CLAIMS(value, 'authorization');
  // The shape above is the type: every member was looked at.
  return value as unknown as AuthorizationClaims;
}

/** The claims as a JSON object, for signing: interfaces have no index signature, the shape above checks each member. */
export function claimsJson(claims: AuthorizationClaims): JsonObject {
  const json = { ...claims } as unknown as JsonObject;
  CLAIMS(json, 'authorization');
  return json;
}
