import { parseDsse } from '../artifact/index.ts';
import { isJsonObject, parseJson, refuse, utf8 } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { requirePayloadType, requireThreshold } from './authorities.ts';
import type { Authorities } from './authorities.ts';
import { requireSucceeds } from './succession.ts';
import { TRUST_BUNDLE_TYPE, readTrustBundle } from './trust-bundle.ts';
import type { TrustBundle } from './trust-bundle.ts';

declare const verified: unique symbol;
/** A trust bundle that its chain leads to. Only this file makes one. */
export type VerifiedTrustBundle = TrustBundle & { readonly [verified]: true };

/** Versions that one walk may take: one a day for years. */
const MAX_STEPS = 4096;

/**
 * Version 1: signed by the threshold that it names itself, believed because of how it came (the enrollment's pinned
 * TLS, or a file that an operator carried).
 * @throws Refusal `malformed`, `policy-payload-type`, `policy-signatures`, `trust-bundle-form`, `trust-bundle-chain`,
 *   `trust-bundle-domain`
 */
export function openFirstTrustBundle(envelope: Uint8Array, trustDomain: string): VerifiedTrustBundle {
  const bundle = read(envelope, undefined);
  if (bundle.version !== 1)
    refuse('trust-bundle-chain', 'the first trust bundle is not version 1', { version: bundle.version });
  requireDomain(bundle, trustDomain);
  return bundle as VerifiedTrustBundle;
}

/**
 * The next version: exactly one higher, of the same domain, naming the digest of the one before, signed by the threshold
 * that the version *before* names. Signatures of new authorities alone mean nothing.
 * @throws Refusal as {@link openFirstTrustBundle}
 */
export function openNextTrustBundle(before: VerifiedTrustBundle, envelope: Uint8Array): VerifiedTrustBundle {
  const bundle = read(envelope, before.authorities);
  requireDomain(bundle, before.trustDomain);
  if (bundle.version !== before.version + 1)
    refuse(
      'trust-bundle-chain',
      `version ${String(bundle.version)} does not follow ${String(before.version)}`,
      {
        version: bundle.version,
        before: before.version,
      },
    );
  if (bundle.previous !== before.digest)
    refuse('trust-bundle-chain', 'the trust bundle follows another version than the one that is pinned', {
      previous: bundle.previous,
      pinned: before.digest,
    });
  requireSucceeds(before, bundle);
  return bundle as VerifiedTrustBundle;
}

/** Walks from a pinned version to the newest. @throws Refusal; none of a broken chain is believed */
export function verifyTrustChain(
  pinned: VerifiedTrustBundle,
  envelopes: readonly Uint8Array[],
): VerifiedTrustBundle {
  if (envelopes.length > MAX_STEPS)
    refuse('trust-bundle-chain', `more than ${String(MAX_STEPS)} versions at once`);
  return envelopes.reduce<VerifiedTrustBundle>(openNextTrustBundle, pinned);
}

/** @param signers authorities of the version before; undefined for the first, which names its own */
function read(bytes: Uint8Array, signers: Authorities | undefined): TrustBundle {
  const envelope = parseDsse(bytes);
  requirePayloadType(envelope, TRUST_BUNDLE_TYPE);
  // What isn't signed by known authorities isn't even read.
  if (signers !== undefined) requireThreshold(envelope, signers);
  const bundle = readTrustBundle(envelope.payload);
  if (signers === undefined) requireThreshold(envelope, bundle.authorities);
  return bundle;
}

function requireDomain({ trustDomain }: TrustBundle, expected: string): void {
  if (trustDomain !== expected)
    refuse('trust-bundle-domain', 'the trust bundle is of another trust domain', { trustDomain, expected });
}

/** A chain from version 1, as it is kept and published. */
export interface TrustChain {
  /** DSSE envelopes, oldest first. */
  readonly chain: readonly JsonObject[];
  readonly current: VerifiedTrustBundle;
}

/** Bytes of a whole chain: a version a day for years. */
export const MAX_TRUST_CHAIN = 16 * 1024 * 1024;
const CHAIN_LIMITS = { maxBytes: MAX_TRUST_CHAIN, maxDepth: 8, maxValues: 1_000_000 };

/**
 * Reads a file of trust bundles: a JSON array of DSSE envelopes from version 1 to the newest. Version 1 is believed
 * because of where the file came from.
 * @throws Refusal as {@link openFirstTrustBundle} and {@link openNextTrustBundle}
 */
export function openTrustChain(bytes: Uint8Array, trustDomain: string): TrustChain {
  const chain = envelopesOf(bytes);
  const [first, ...next] = chain.map((envelope) => utf8(JSON.stringify(envelope)));
  if (first === undefined) return refuse('trust-bundle-chain', 'there is no trust bundle');
  return { chain, current: verifyTrustChain(openFirstTrustBundle(first, trustDomain), next) };
}

/**
 * {@link openTrustChain} for who has nothing else and believes the file itself: the trust domain is the one that
 * version 1 names.
 */
export function openGivenTrustChain(bytes: Uint8Array): TrustChain {
  const [first] = envelopesOf(bytes);
  if (first === undefined) return refuse('trust-bundle-chain', 'there is no trust bundle');
  return openTrustChain(bytes, read(utf8(JSON.stringify(first)), undefined).trustDomain);
}

function envelopesOf(bytes: Uint8Array): readonly JsonObject[] {
  const envelopes = parseJson(bytes, 'trust bundles', CHAIN_LIMITS);
  if (!Array.isArray(envelopes)) return refuse('trust-bundle-form', 'trust bundles are not a list');
  // What Array.isArray leaves of a JsonValue are its lists.
  return (envelopes as readonly JsonValue[]).map((envelope) =>
    isJsonObject(envelope) ? envelope : refuse('trust-bundle-form', 'a trust bundle is not a DSSE envelope'),
  );
}
