import type { RevocableKind } from '../../audit/index.ts';
import {
  LIMITS,
  canonicalJson,
  isJsonObject,
  parseJsonObject,
  refuse,
  shape,
  utf8,
} from '../../base/index.ts';
import type { Fail, JsonObject, Shape } from '../../base/index.ts';
import { REVOCABLE_KINDS } from '../execution-record.ts';
import { HOST_FACTS } from '../host-facts-json.ts';
import type { HostFactsJson } from '../host-facts-json.ts';

/**
 * What a decision is a function of besides request, evidence, bundle and trust bundle (PROTOCOL 11, 13): everything
 * that its stages read, and every random value that they drew for signed claims. Canonical JSON, kept as a body under
 * the digest that the leaf names. No key, no secret, no signature and no token of an initiator is in it: nothing that was
 * not released can be put together from it.
 */
export interface DecisionInputs {
  readonly v: 1;
  readonly purpose: 'execution' | 'attestation';
  /** Unix ms: the one time of the decision. */
  readonly now: number;
  /** Who decided, and the keys that it signs with. */
  readonly verifier: {
    readonly trustDomain: string;
    readonly issuer: string;
    readonly replica: string;
    readonly build: string;
    readonly developer: string;
    readonly authorizationKid: string;
    readonly earKid: string;
    /** Hex SHA-256 of the certificate (DER) of the authority that signs SVIDs. */
    readonly svidAuthority: string;
  };
  /** Digest of the trust bundle that was current. */
  readonly trust: string;
  readonly caller: { readonly hostId: string; readonly agentKey: string; readonly notAfter: number };
  /** The active bundle; null when there was none. */
  readonly policy: { readonly version: number; readonly digest: string; readonly uri: string } | null;
  /** Decimal. */
  readonly logSize: string;
  /** Whether the nonce was being decided elsewhere, and whether this decision got it. */
  readonly nonce: { readonly taken: boolean; readonly reserved: boolean };
  /** By id, sorted; null: there is none. */
  readonly hosts: readonly { readonly id: string; readonly facts: HostFactsJson | null }[];
  readonly executions: readonly {
    readonly id: string;
    readonly found: { readonly version: number; readonly record: JsonObject } | null;
  }[];
  /** Of everything that was asked for, what was revoked. */
  readonly revoked: readonly { readonly kind: RevocableKind; readonly id: string }[];
  /** Kept bodies that were read, hex SHA-256; those that were no longer kept. */
  readonly bodies: { readonly read: readonly string[]; readonly missing: readonly string[] };
  /** Version and length of each stored secret that was opened, never its value; null: there is none of that name. */
  readonly secrets: readonly {
    readonly name: string;
    readonly found: { readonly version: number; readonly bytes: number } | null;
  }[];
  readonly status: { readonly idx: number; readonly uri: string } | null;
  /** A new agent certificate. */
  readonly certificate: {
    readonly pem: string;
    readonly serial: string;
    readonly expires: number;
  } | null;
  /** What the initiator's token said when it was verified. */
  readonly initiator: VerifiedToken | null;
  /** Random values in the order in which they were drawn, base64url. */
  readonly drawn: readonly string[];
  /** Reads that failed, and how. */
  readonly failed: readonly FailedRead[];
  /** What came, besides what the leaf and the kept request have. */
  readonly received: Received;
}

/** What a token of an initiator said. */
export interface VerifiedToken {
  readonly issuer: string;
  readonly subject: string;
  readonly tokenId: string;
  /** Unix seconds. */
  readonly expires: number;
  readonly tokenSha256: string;
  readonly claims: JsonObject;
  /** JWK of the key that the token names. */
  readonly confirmationKey: JsonObject | null;
}

/** A read that threw; `refusal` is null for a fault, of which nobody learns more. */
export interface FailedRead {
  readonly read: string;
  readonly refusal: { readonly check: string; readonly reason: string; readonly detail: JsonObject } | null;
}

/** What a sender sent and nothing else keeps. */
export interface Received {
  /** Hex SHA-256 of the request as it is kept. */
  readonly request: string;
  /** Of an execution: workload, parent, initiator. Of an attestation: one for each execution. */
  readonly proofs: readonly (string | null)[];
  /** First entry of the IMA list that was sent; null when none was. */
  readonly imaFirst: number | null;
}

const { boolean, decimal, hex32, integer, list, literal, nullable, object, oneOf, sha256Text, text } = shape;
const json: Shape<JsonObject> = (value, path, fail) =>
  isJsonObject(value) ? value : fail(path, 'an object');
const name = text({ max: 512 });
const token = text({ max: 16_384, pattern: /^[\w-]+\.[\w-]+\.[\w-]+$/, want: 'a compact JWS' });
const base64url = (max: number) => shape.base64url(max);

const INPUTS: Shape<DecisionInputs> = object({
  v: literal(1),
  purpose: oneOf('execution', 'attestation'),
  now: integer(),
  verifier: object({
    trustDomain: name,
    issuer: name,
    replica: name,
    build: name,
    developer: name,
    authorizationKid: name,
    earKid: name,
    svidAuthority: hex32,
  }),
  trust: sha256Text,
  caller: object({ hostId: hex32, agentKey: hex32, notAfter: integer() }),
  policy: nullable(object({ version: integer(), digest: sha256Text, uri: text({ max: 2048 }) })),
  logSize: decimal,
  nonce: object({ taken: boolean, reserved: boolean }),
  hosts: list(object({ id: hex32, facts: nullable(HOST_FACTS) }), 16),
  executions: list(
    object({ id: text({ max: 64 }), found: nullable(object({ version: integer(1), record: json })) }),
    4096,
  ),
  revoked: list(
    object({
      kind: oneOf(...REVOCABLE_KINDS),
      id: name,
    }),
    4096,
  ),
  bodies: object({ read: list(hex32, 1024), missing: list(hex32, 1024) }),
  secrets: list(
    object({ name, found: nullable(object({ version: integer(), bytes: integer(0, LIMITS.json) })) }),
    1024,
  ),
  status: nullable(object({ idx: integer(), uri: text({ max: 2048 }) })),
  certificate: nullable(object({ pem: text({ max: 65_536 }), serial: name, expires: integer() })),
  initiator: nullable(
    object({
      issuer: name,
      subject: name,
      tokenId: name,
      expires: integer(),
      tokenSha256: hex32,
      claims: json,
      confirmationKey: nullable(json),
    }),
  ),
  drawn: list(base64url(256), 4096),
  failed: list(
    object({
      read: name,
      refusal: nullable(object({ check: text({ max: 128 }), reason: text({ max: 4096 }), detail: json })),
    }),
    64,
  ),
  received: object({ request: hex32, proofs: list(nullable(token), 256), imaFirst: nullable(integer()) }),
});

const INPUTS_LIMITS = { maxBytes: LIMITS.json, maxDepth: 16, maxValues: 1_000_000 } as const;

const fail: Fail = (path, want) => refuse('decision-inputs', `${path} is not ${want}`, { member: path });

/** The canonical bytes: what the digest is over. */
export function inputsBytes(inputs: DecisionInputs): Uint8Array {
  // It consists of JSON values only; interfaces just have no index signature.
  return utf8(canonicalJson(inputs as unknown as JsonObject));
}

/**
 * A decision may only be answered when it can be repeated: its inputs have the bounds that whoever reads them has.
 * @param bytes canonical bytes of the inputs
 * @throws Refusal `decision-inputs-bound`
 */
export function requireKeepable(inputs: DecisionInputs, bytes: Uint8Array): void {
  const no = (member: string): never =>
    refuse('decision-inputs-bound', 'the decision rests on more than can be kept to prove it', {
      member,
      bytes: bytes.length,
    });
  if (bytes.length > INPUTS_LIMITS.maxBytes) no('inputs');
  INPUTS(inputs as unknown as JsonObject, 'inputs', no);
}

/** Reads inputs that were kept: canonical, closed. @throws Refusal `malformed`, `decision-inputs` */
export function parseDecisionInputs(bytes: Uint8Array): DecisionInputs {
  const value = parseJsonObject(bytes, 'decision inputs', INPUTS_LIMITS);
  const text = canonicalJson(value);
  if (Buffer.compare(utf8(text), bytes) !== 0) fail('inputs', 'canonical JSON');
  return INPUTS(value, 'inputs', fail);
}
