import { verifyCheckpoint, verifyQuorum } from '../../audit/index.ts';
import type { UnverifiedCheckpoint, VerifierKey } from '../../audit/index.ts';
import type { VerificationKey } from '../../authorization/index.ts';
import { Refusal, canonicalJson, isJsonObject, parseJson, refuse, utf8 } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import {
  openFirstTrustBundle,
  openNextTrustBundle,
  readTrustBundle,
  requireNotAfterClosing,
} from '../../policy/index.ts';
import type { Authorities, TrustBundle, VerifiedTrustBundle } from '../../policy/index.ts';
import { requirePlain } from './envelope.ts';
import type { RepeatTrust } from '../repeat/repeat-deps.ts';

/** What a verifier brings of its own; with neither, a package only proves that it agrees with itself. */
export interface PackagePins {
  /** Trust bundles that are believed: one DSSE envelope of any version, or a list of them from version 1. */
  readonly trustBundle?: Uint8Array;
  /** The log's keys: one, or while it is rotated several. */
  readonly logKeys?: readonly VerifierKey[];
}

/** The chain of trust bundles of a package, each signed by those that the one before names. */
export interface PackageTrust {
  readonly versions: readonly VerifiedTrustBundle[];
  readonly newest: VerifiedTrustBundle;
}

const PIN_LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 8, maxValues: 1_000_000 };

/**
 * Walks the chain from version 1, and compares it with what is pinned.
 * @param trustDomain of the package's own first version: believed by the pin, or by nobody
 * @throws Refusal those of `openFirstTrustBundle` and `openNextTrustBundle`; `package-trust`
 */
export function openPackageTrust(envelopes: readonly JsonObject[], pins: PackagePins): PackageTrust {
  const [first, ...next] = envelopes.map((envelope) => utf8(JSON.stringify(envelope)));
  if (first === undefined) return refuse('package-trust', 'there is no trust bundle');
  let newest = openFirstTrustBundle(first, domainOf(envelopes[0]));
  const versions = [newest];
  for (const envelope of next) versions.push((newest = openNextTrustBundle(newest, envelope)));
  for (const [i, envelope] of envelopes.entries()) requirePlain(envelope, signersOf(versions, i));
  if (pins.trustBundle !== undefined) requirePinned(envelopes, pins.trustBundle);
  return { versions, newest };
}

/** Who signs a version: those that the one before names, and of version 1 its own. */
export function signersOf(versions: readonly VerifiedTrustBundle[], i: number): Authorities {
  const { authorities } = versions[Math.max(0, i - 1)] ?? refuse('package-trust', 'there is no such version');
  return authorities;
}

/** Version 1 names its own domain; whether it is the right one is what the pin says. */
function domainOf(envelope: JsonObject | undefined): string {
  const { trustDomain } = payloadOf(envelope);
  return typeof trustDomain === 'string' ? trustDomain : refuse('package-trust', 'a bundle without a domain');
}

function payloadBytes(envelope: JsonValue | undefined): Uint8Array {
  const payload = isJsonObject(envelope) ? envelope['payload'] : undefined;
  if (typeof payload !== 'string') return refuse('package-trust', 'a trust bundle is not a DSSE envelope');
  return Uint8Array.from(Buffer.from(payload, 'base64'));
}

function payloadOf(envelope: JsonValue | undefined): JsonObject {
  const value = parseJson(payloadBytes(envelope), 'trust bundle', PIN_LIMITS);
  return isJsonObject(value) ? value : refuse('package-trust', 'a trust bundle is not an object');
}

/**
 * Every pinned version that the package reaches is the package's own, and it reaches at least one: from there on the
 * chain is believed because its signatures were followed.
 */
function requirePinned(envelopes: readonly JsonObject[], pinned: Uint8Array): void {
  const pins = pinnedVersions(pinned);
  const own = new Map(envelopes.map((envelope) => [versionOf(envelope), canonicalJson(payloadOf(envelope))]));
  let met = 0;
  for (const pin of pins) {
    const found = own.get(versionOf(pin));
    if (found === undefined) continue;
    if (found !== canonicalJson(payloadOf(pin)))
      refuse('package-trust', 'the package has another trust bundle than the one that is pinned', {
        version: versionOf(pin),
      });
    met++;
  }
  if (met === 0) refuse('package-trust', 'the package doesn’t reach the trust bundle that is pinned');
}

function pinnedVersions(pinned: Uint8Array): readonly JsonValue[] {
  const value = parseJson(pinned, 'pinned trust bundle', PIN_LIMITS);
  return Array.isArray(value) ? (value as readonly JsonValue[]) : [value];
}

function versionOf(envelope: JsonValue): number {
  const { version } = payloadOf(envelope);
  return typeof version === 'number' ? version : refuse('package-trust', 'a bundle without a version');
}

/** Authorities of every version: whoever signed a policy under any of them. */
export function everyAuthority(versions: readonly VerifiedTrustBundle[]): Authorities {
  const keys = versions.flatMap(({ authorities }) => authorities.keys);
  return { threshold: 1, keys: [...new Map(keys.map((key) => [key.key.fingerprint, key])).values()] };
}

/** The keys of one version, as a repeated decision takes them. */
export function repeatTrust({ digest, keys, cas }: VerifiedTrustBundle): RepeatTrust {
  return { digest, authorization: keys.authorization, ear: keys.ear, svid: cas.svid };
}

/** Keys of all versions: what signed earlier stays verifiable after a rotation. */
export function everyKey(
  { versions }: PackageTrust,
  purpose: 'authorization' | 'ear',
): readonly VerificationKey[] {
  return [...new Map(versions.flatMap(({ keys }) => keys[purpose]).map((key) => [key.kid, key])).values()];
}

/** The log's keys: the pinned ones, or those of the trust bundles. */
export function packageLogKeys({ versions }: PackageTrust, { logKeys }: PackagePins): readonly VerifierKey[] {
  if (logKeys !== undefined) return logKeys;
  return versions.flatMap(({ log }) => log);
}

/**
 * The checkpoint is the log's, and no longer than the log was when it was closed. Whether its witnesses cosigned it is told,
 * not required: who kept an earlier checkpoint needs none. So is whether a key signed it that the log still has: an older
 * export stays verifiable after a rotation, but a key that was rotated away, or a closed log's, may be in anybody's hands: it
 * can make another history, too, that is shorter than the one that was closed.
 * @throws Refusal `log-origin`, `log-signature`, `log-succession`
 */
export function judgeCheckpoint(
  checkpoint: UnverifiedCheckpoint,
  trust: PackageTrust,
  pins: PackagePins,
): { readonly witnessed: boolean; readonly currentKey: boolean } {
  verifyCheckpoint(checkpoint, packageLogKeys(trust, pins));
  const newest = newestKnown(trust, pins);
  requireNotAfterClosing(checkpoint.claimed, newest);
  const { witnesses } = trust.newest;
  // Of a closed log nobody has the key any more, or nobody knows who has it.
  const currentKey =
    !isClosed(checkpoint.claimed.origin, newest) &&
    holds(() => {
      verifyCheckpoint(checkpoint, pins.logKeys ?? newest.log);
    });
  const witnessed = witnesses !== null && holds(() => verifyQuorum(checkpoint, { ...witnesses, logs: [] }));
  return { witnessed, currentKey };
}

const isClosed = (origin: string, { succession }: TrustBundle): boolean =>
  succession.some(({ closed }) => closed.origin === origin);

function holds(check: () => unknown): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return false;
  }
}

/** The newest trust bundle that is known here. A package can be cut off before a rotation: then it is the pin's. */
function newestKnown({ newest }: PackageTrust, { trustBundle }: PackagePins): TrustBundle {
  const last =
    trustBundle === undefined ? undefined : [...pinnedVersions(trustBundle)].sort(byVersion).at(-1);
  if (last === undefined || versionOf(last) <= newest.version) return newest;
  // Believed because it is pinned: its signatures add nothing.
  return readTrustBundle(payloadBytes(last));
}

const byVersion = (a: JsonValue, b: JsonValue): number => versionOf(a) - versionOf(b);
