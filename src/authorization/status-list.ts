import { deflateSync, inflateSync } from 'node:zlib';
import { fromBase64url, parseJsonObject, refuse, shape, toBase64url } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import type { AuthorizationClaims } from './claims.ts';
import { SKEW_SECONDS } from './claims.ts';
import type { SigningKey, VerificationKey } from './jws.ts';
import { signJws, verifyJws } from './jws.ts';
import type { AuthorizationStatus } from './verify-chain.ts';

/** `typ` of a signed status list (draft-ietf-oauth-status-list). */
export const STATUS_LIST_TYPE = 'statuslist+jwt';
/** Longest life of a signed list, seconds: what a relying party believes is never older. */
export const MAX_STATUS_SECONDS = 60;
/** Entries of one list that this verifier publishes: 8 KiB of bits. */
export const STATUS_LIST_SIZE = 65_536;
/** What a relying party reads: lists of other makers may be larger, but not without bound. */
const MAX_TOKEN = 256 * 1024;
const MAX_BITS_BYTES = 128 * 1024;

/** One list as it is signed. */
export interface StatusList {
  /** Where it is published; authorizations name it by this. */
  readonly uri: string;
  /** One bit for each index, the lowest bit of the first byte first; 1: revoked or ended. */
  readonly bits: Uint8Array;
  /** Unix seconds. */
  readonly issuedAt: number;
  /** Unix seconds, at most {@link MAX_STATUS_SECONDS} later. */
  readonly expires: number;
  /** Seconds after which a relying party should fetch it again. */
  readonly ttl: number;
}

/**
 * Signs a status list: one bit an entry, compressed with zlib (draft-ietf-oauth-status-list §4, §5.1).
 * @throws RangeError for a list that no relying party would take
 */
export async function signStatusList(list: StatusList, key: SigningKey): Promise<string> {
  const { uri, bits, issuedAt, expires, ttl } = list;
  if (!(expires > issuedAt && expires - issuedAt <= MAX_STATUS_SECONDS) || ttl > MAX_STATUS_SECONDS)
    throw new RangeError(`a status list lives at most ${String(MAX_STATUS_SECONDS)} s`);
  const lst = toBase64url(new Uint8Array(deflateSync(bits, { level: 9 })));
  const claims = { sub: uri, iat: issuedAt, exp: expires, ttl, status_list: { bits: 1, lst } };
  return await signJws(claims, STATUS_LIST_TYPE, key);
}

const { base64url, integer, object, text } = shape;
const CLAIMS = object(
  {
    sub: text(),
    iat: integer(),
    exp: integer(),
    status_list: object({ bits: integer(1, 2), lst: base64url(MAX_TOKEN) }, { aggregation_uri: text() }),
  },
  { iss: text(), ttl: integer(1), nbf: integer() },
);

const fail: Fail = (path, want) => refuse('status-list', `${path} is not ${want}`, { member: path });

/** A list whose signature and time were checked. */
export interface VerifiedStatusList {
  readonly uri: string;
  /** Unix seconds. */
  readonly issuedAt: number;
  /** Unix seconds after which it says nothing. */
  readonly expires: number;
  /** @returns `unknown` for an index that the list doesn't have, and for a value that only an application knows */
  readonly at: (index: number) => AuthorizationStatus;
}

/**
 * Verifies a signed status list: signature by a status key, `typ`, form, time, and a life of at most
 * {@link MAX_STATUS_SECONDS}. Bits are inflated with a bound.
 * @param now Unix seconds
 * @throws Refusal `signature_invalid`, `malformed`, `status-list`
 */
export async function verifyStatusList(
  token: string,
  keys: readonly VerificationKey[],
  now: number,
): Promise<VerifiedStatusList> {
  const payload = await verifyJws(token, STATUS_LIST_TYPE, keys, MAX_TOKEN);
  const limits = { maxBytes: MAX_TOKEN, maxDepth: 3 };
  const { sub, iat, exp, status_list } = CLAIMS(
    parseJsonObject(payload, 'status list', limits),
    'statusList',
    fail,
  );
  if (exp <= iat || exp - iat > MAX_STATUS_SECONDS)
    refuse('status-list', `the list lives longer than ${String(MAX_STATUS_SECONDS)} s`, { iat, exp });
  if (now >= exp || iat > now + SKEW_SECONDS)
    refuse('status-list', 'the list is outside its time', { now, iat, exp });
  const bytes = inflate(status_list.lst);
  return { uri: sub, issuedAt: iat, expires: exp, at: (index) => statusAt(bytes, status_list.bits, index) };
}

function inflate(lst: string): Uint8Array {
  const compressed = fromBase64url(lst, 'status list');
  try {
    return new Uint8Array(inflateSync(compressed, { maxOutputLength: MAX_BITS_BYTES }));
  } catch {
    return refuse('status-list', 'the list is not zlib, or too large', { bytes: compressed.length });
  }
}

/** Values of draft-ietf-oauth-status-list §7.1: 0 valid, 1 invalid, 2 suspended. */
function statusAt(bytes: Uint8Array, bits: number, index: number): AuthorizationStatus {
  const perByte = 8 / bits;
  const byte = bytes[Math.floor(index / perByte)];
  if (byte === undefined || !Number.isSafeInteger(index) || index < 0) return 'unknown';
  const value = (byte >> ((index % perByte) * bits)) & ((1 << bits) - 1);
  if (value === 0) return 'valid';
  return value === 3 ? 'unknown' : 'revoked';
}

/**
 * The status of authorizations by lists at hand. A list that doesn't verify counts as absent, and what no list speaks
 * of is unknown. Where several lists have one uri, any that says revoked is believed: nothing that was revoked or has
 * ended comes back, so an older list can be shown in vain.
 * @param now Unix seconds
 */
export async function statusFrom(
  tokens: readonly string[],
  keys: readonly VerificationKey[],
  now: number,
): Promise<(claims: AuthorizationClaims) => AuthorizationStatus> {
  const tried = await Promise.allSettled(tokens.map((token) => verifyStatusList(token, keys, now)));
  const lists = tried.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  return ({ status: { status_list } }) =>
    statusIn(
      lists.filter(({ uri }) => uri === status_list.uri),
      status_list.idx,
    );
}

/** What lists of one uri say of an index, the worst first; without a list nothing is known. */
export function statusIn(lists: readonly VerifiedStatusList[], index: number): AuthorizationStatus {
  const said = lists.map((list) => list.at(index));
  if (said.includes('revoked')) return 'revoked';
  return said.length > 0 && said.every((one) => one === 'valid') ? 'valid' : 'unknown';
}
