import { fromHex, parseJsonObject, Refusal, refuse, shape } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import type { VerificationKey } from './jws.ts';
import { importJwk, publicJwk, verificationKey } from './jwks.ts';
import type { PublicJwk } from './jwks.ts';
import { REFUSED_OUTCOMES } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import { statusFrom } from './status-list.ts';
import { verifyAuthorization } from './verify-chain.ts';

const { hex32, integer, list, object, oneOf, text } = shape;

const token = text({ min: 0, max: 64 * 1024, want: 'a text' });
const anyText = text({ min: 0 });
const keys = list(publicJwk, 64);

const VECTOR = object(
  {
    name: text({ max: 128 }),
    outcome: oneOf('ok', ...REFUSED_OUTCOMES),
    chain: list(token, 64),
    request: object({
      scopes: list(anyText, 64),
      holder: object({
        proof: token,
        key: publicJwk,
        audience: anyText,
        nonce: anyText,
        requestDigest: hex32,
      }),
    }),
    trust: object({
      keys,
      issuer: text(),
      trustDomain: text({ max: 255 }),
      audience: text(),
      ceilings: object({ depth: integer(), lifetime: integer(), scopes: list(text(), 64) }),
      status: object({ keys, lists: list(token, 64) }),
    }),
    now: integer(),
  },
  { description: text({ max: 4096 }) },
);

/** A test vector: a chain, one use of it, what the verifier trusts, the time, and what must come of it. */
export type AuthorizationVector = ReturnType<typeof VECTOR>;

const fail: Fail = (path, want) => refuse('vector-form', `${path} is not ${want}`, { member: path });

/** Bounds of a vector's file. */
export const VECTOR_LIMITS = { maxBytes: 2 * 1024 * 1024, maxDepth: 8, maxValues: 10_000 } as const;

/**
 * Reads a vector (docs/AUTHORIZATION.md "Test vectors", `share/schema/authorization-vector.json`): a closed object.
 * @throws Refusal `malformed`, `vector-form`
 */
export function parseVector(bytes: Uint8Array): AuthorizationVector {
  const vector = VECTOR(parseJsonObject(bytes, 'vector', VECTOR_LIMITS), 'vector', fail);
  const { keys, status } = vector.trust;
  requireKids(keys, 'vector.trust.keys');
  requireKids(status.keys, 'vector.trust.status.keys');
  // All keys can be read before anything is judged: a broken vector is not a refused chain.
  keysOf(keys, 'vector.trust.keys');
  keysOf(status.keys, 'vector.trust.status.keys');
  holderKeyOf(vector);
  return vector;
}

/** What came of a vector, and what it says must. */
export interface VectorResult {
  /** True when both are the same. */
  readonly ok: boolean;
  readonly outcome: Outcome;
  readonly expected: Outcome;
  /** Null for `ok`. */
  readonly refusal: Refusal | null;
}

/**
 * Runs a vector through {@link verifyAuthorization}, the check of gateways, verifiers and relying parties.
 * @throws only what is no refusal: a fault of this program
 */
export async function runVector(vector: AuthorizationVector): Promise<VectorResult> {
  const refusal = await refusalOf(vector);
  const outcome = refusal === null ? 'ok' : outcomeOf(refusal);
  return { ok: outcome === vector.outcome, outcome, expected: vector.outcome, refusal };
}

async function refusalOf(vector: AuthorizationVector): Promise<Refusal | null> {
  const { chain, request, trust, now } = vector;
  const { proof, audience, nonce, requestDigest } = request.holder;
  const binding = { audience, nonce, requestDigest: fromHex(requestDigest) };
  const lists = await statusFrom(trust.status.lists, keysOf(trust.status.keys, 'status'), now);
  try {
    await verifyAuthorization(
      chain,
      { scopes: request.scopes, holder: { key: holderKeyOf(vector), proof, binding } },
      { ...trust, keys: keysOf(trust.keys, 'keys'), status: lists },
      now,
    );
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function outcomeOf({ check }: Refusal): Outcome {
  const outcome = REFUSED_OUTCOMES.find((name) => name === check);
  if (outcome === undefined) throw new Error(`${check} is no outcome of a delegation chain`);
  return outcome;
}

const keysOf = (jwks: readonly PublicJwk[], path: string): VerificationKey[] =>
  jwks.map((jwk, i) => verificationKey(jwk, `${path}[${String(i)}]`));

const holderKeyOf = ({ request }: AuthorizationVector): VerificationKey['key'] =>
  importJwk(request.holder.key, 'vector.request.holder.key');

function requireKids(jwks: readonly PublicJwk[], path: string): void {
  if (new Set(jwks.map(({ kid }) => kid)).size !== jwks.length) fail(path, 'a set with each kid once');
}
