import { parseDsse } from '../artifact/index.ts';
import { refuse } from '../base/index.ts';
import { requirePayloadType, requireThreshold } from './authorities.ts';
import type { Authorities } from './authorities.ts';
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
