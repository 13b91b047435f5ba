import type { Fail, JsonObject, Shape } from '../base/index.ts';
import { isJsonObject, parseJsonObject, refuse, shape } from '../base/index.ts';

const { hex32, integer, list, object, oneOf, set, sha256Text, text } = shape;

/** `typ` of an authorization artifact; no other key or verifier of this project accepts it. */
export const AUTHORIZATION_TYPE = 'exec-authz+jwt';
/** Longest life of one authorization artifact, in seconds (renewed by attestation). */
export const MAX_LIFETIME_SECONDS = 300;
/** Hard cap on the length of a delegation chain, whatever policy says. */
export const MAX_DEPTH = 8;
/** Clock difference that is tolerated between verifiers and gateways, in seconds. */
export const SKEW_SECONDS = 30;
/** Size bounds of one artifact, in bytes and values; `act` nests once for each execution above, and an initiator. */
export const CLAIMS_LIMITS = { maxBytes: 16 * 1024, maxDepth: MAX_DEPTH + 4, maxValues: 2_000 } as const;

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

/** Dotted names; a last `*` covers everything below. */
export const SCOPE_PATTERN = /^[a-z0-9_-]{1,64}(?:\.[a-z0-9_-]{1,64}){0,15}(?:\.\*)?$/;
/** One scope as it appears in requests and authorizations. */
export const scopeShape = text({ pattern: SCOPE_PATTERN, want: 'a dotted scope' });

const name = text();
const hash = text({ pattern: /^[A-Za-z0-9_-]{43}$/, want: 'a base64url SHA-256' });
const actor: Shape<Actor> = (value, path, fail) => object({ sub: name }, { act: actor })(value, path, fail);

const CONSTRAINTS = { children: integer(), lifetime: integer(), uses: integer(), audiences: set(name, 64) };

const DETAILS: Shape<ExecutionDetails> = object({
  type: oneOf('sealgate_execution'),
  actions: set(name, 16),
  artifact: sha256Text,
  host: hex32,
  scopes: set(scopeShape, 64),
  constraints: (value, path, fail) => {
    if (isJsonObject(value))
      for (const limit of Object.keys(value))
        // Not a matter of form: who doesn't know a limit can't keep to it.
        if (!Object.hasOwn(CONSTRAINTS, limit))
          refuse('not_narrower', 'a constraint that is not known here', { constraint: limit.slice(0, 64) });
    return object({}, CONSTRAINTS)(value, path, fail);
  },
});

const CLAIMS: Shape<AuthorizationClaims> = object(
  {
    iss: name,
    sub: name,
    aud: name,
    iat: integer(),
    nbf: integer(),
    exp: integer(),
    jti: name,
    client_id: name,
    txn: name,
    cnf: object({ jkt: hash }),
    eat_nonce: name,
    authorization_details: (value, path, fail) => {
      const [only] = list(DETAILS, 1, 1)(value, path, fail);
      return [only ?? fail(path, 'one object')] as const;
    },
    del_depth: integer(),
    del_max_depth: integer(),
    status: object({ status_list: object({ idx: integer(), uri: name }) }),
    policy: object({ uri: name, digest: sha256Text, ids: list(name, 256) }),
    evidence: list(object({ name, sha256: hex32 }), 16),
    gov: object({ trust_domain: name, authorities: list(name, 64) }),
    attr: object({ signers: list(name, 64) }, { owner: name, purpose: name, change: name }),
  },
  { act: actor, par_hash: hash },
);

const fail: Fail = (path, want) => refuse('authorization-form', `${path} is not ${want}`, { member: path });

/**
 * Parses the payload of an authorization artifact: a closed object, every member typed and bounded.
 * Nothing here says that it is signed or in its time.
 * @throws Refusal `malformed`, `authorization-form`; `not_narrower` for a constraint that is not known
 */
export function parseClaims(payload: Uint8Array): AuthorizationClaims {
  return CLAIMS(parseJsonObject(payload, 'authorization', CLAIMS_LIMITS), 'authorization', fail);
}

/**
 * The claims as the JSON object that is signed, checked as a verifier will check them.
 * @throws Refusal `authorization-form`
 */
export function claimsJson(claims: AuthorizationClaims): JsonObject {
  // Interfaces have no index signature; the shape looks at every member.
  const json = { ...claims } as unknown as JsonObject;
  CLAIMS(json, 'authorization', fail);
  return json;
}
