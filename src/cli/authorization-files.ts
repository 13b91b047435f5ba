import type { KeyObject } from 'node:crypto';
import {
  CLAIMS_LIMITS,
  MAX_DEPTH,
  MAX_LIFETIME_SECONDS,
  PURPOSE_MEMBER,
  importJwk,
  keysFor,
  publicJwk,
  statusFrom,
  verificationKey,
} from '../authorization/index.ts';
import type {
  AuthorizationTrust,
  AuthorizationUse,
  PublishedPurpose,
  VerificationKey,
} from '../authorization/index.ts';
import { fromHex, fromUtf8, isJsonObject, parseJsonObject, refuse } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { UsageError, inUsage } from './errors.ts';
import { readInput } from './input.ts';

/** What `verify authorization` is told beside the file. */
export interface AuthorizationFlags {
  readonly keys?: string;
  readonly statusKeys?: string;
  readonly issuer?: string;
  readonly trustDomain?: string;
  readonly audience?: string;
  readonly status: readonly string[];
  readonly scope: readonly string[];
  readonly accept: readonly string[];
  readonly proof?: string;
  readonly holderKey?: string;
  readonly proofAudience?: string;
  readonly nonce?: string;
  readonly requestDigest?: string;
  readonly maxDepth?: number;
  readonly maxLifetime?: number;
}

const JSON_LIMITS = { maxBytes: 256 * 1024, maxDepth: 8, maxValues: 5_000 } as const;

/** A chain's tokens, root first: one a line, as `_authorization.jwt` has one. @throws Refusal `malformed` */
export function readChain(file: string): readonly string[] {
  const text = fromUtf8(
    readInput(file, 'authorization', CLAIMS_LIMITS.maxBytes * (MAX_DEPTH + 2)),
    'authorization',
  );
  const lines = text.replace(/\n$/, '').split('\n');
  return text === '' ? refuse('malformed', 'authorization: an empty file') : lines;
}

/** What the verifier of the chain trusts, from flags and files. @param now Unix seconds */
export async function readChainTrust(flags: AuthorizationFlags, now: number): Promise<AuthorizationTrust> {
  const keysFile = required(flags.keys, '--keys');
  const trustDomain = required(flags.trustDomain, '--trust-domain');
  const statusKeys = readKeys(flags.statusKeys ?? keysFile, 'status', flags.statusKeys !== undefined);
  const lists = flags.status.map((file) =>
    fromUtf8(readInput(file, 'status list', 256 * 1024), 'status list').trim(),
  );
  return {
    keys: readKeys(keysFile, 'authorization', true),
    issuer: required(flags.issuer, '--issuer'),
    trustDomain,
    audience: flags.audience ?? { hostsOf: trustDomain },
    // Without a list nothing is said of the status, and the answer says that it was not checked.
    status: lists.length === 0 ? () => 'valid' : await statusFrom(lists, statusKeys, now),
    ceilings: {
      depth: flags.maxDepth ?? MAX_DEPTH,
      lifetime: flags.maxLifetime ?? MAX_LIFETIME_SECONDS,
      // Who names no scopes of its own accepts those that it asks for.
      scopes: flags.accept.length === 0 ? flags.scope : flags.accept,
    },
  };
}

/** One use, where the flags give all of it; null where they give nothing of it. @throws UsageError */
export function readUse(flags: AuthorizationFlags): AuthorizationUse | null {
  const { proof, holderKey, nonce, requestDigest, proofAudience, trustDomain } = flags;
  const given = [proof, holderKey, nonce, requestDigest].filter((value) => value !== undefined);
  if (given.length === 0) return null;
  const audience = required(proofAudience ?? trustDomain, '--proof-audience');
  return {
    scopes: flags.scope,
    holder: {
      proof: fromUtf8(readInput(required(proof, '--proof'), 'holder proof', 8192), 'holder proof').trim(),
      key: readHolderKey(required(holderKey, '--holder-key')),
      binding: {
        audience,
        nonce: required(nonce, '--nonce'),
        requestDigest: inUsage('--request-digest', () =>
          fromHex(required(requestDigest, '--request-digest')),
        ),
      },
    },
  };
}

/**
 * The keys of a purpose. A verifier's own set names the purpose of each; in any other set every key has the purpose of
 * the flag that it was given with.
 */
function readKeys(file: string, purpose: PublishedPurpose, own: boolean): readonly VerificationKey[] {
  const jwks = readObject(file, 'JWKS');
  const listed = jwks['keys'] ?? null;
  const keys: readonly JsonValue[] = Array.isArray(listed) ? (listed as readonly JsonValue[]) : [];
  if (keys.some((key) => isJsonObject(key) && Object.hasOwn(key, PURPOSE_MEMBER)))
    return keysFor(jwks, purpose);
  if (!own) return [];
  return keys.map((key, i) => verificationKey(jwkOf(key, `${file}: keys[${String(i)}]`)));
}

const readHolderKey = (file: string): KeyObject => importJwk(jwkOf(readObject(file, 'JWK'), file));

const jwkOf = (value: JsonValue, path: string): ReturnType<typeof publicJwk> =>
  publicJwk(value, path, (at, want) => refuse('authorization-keys', `${at} is not ${want}`, { member: at }));

const readObject = (file: string, structure: string): JsonObject =>
  parseJsonObject(readInput(file, structure, JSON_LIMITS.maxBytes), structure, JSON_LIMITS);

function required(value: string | undefined, flag: string): string {
  if (value === undefined) throw new UsageError(`${flag} is needed to verify an authorization`);
  return value;
}
