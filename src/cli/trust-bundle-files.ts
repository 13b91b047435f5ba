import { parseDsse } from '../artifact/index.ts';
import { LIMITS, fromUtf8 } from '../base/index.ts';
import { MAX_TRUST_CHAIN, openGivenTrustChain, readTrustBundle } from '../policy/index.ts';
import type { TrustBundle, VerifiedTrustBundle } from '../policy/index.ts';
import { readInput } from './input.ts';

/**
 * The newest of the trust bundles in a file, as verifiers publish them: the list from version 1, whose chain of signatures
 * is verified. Believed because the caller gives it.
 * @throws UsageError; Refusal `trust-bundle-…`, `policy-signatures`, `malformed`
 */
export function readGivenTrust(file: string): VerifiedTrustBundle {
  return openGivenTrustChain(readInput(file, 'trust bundles', MAX_TRUST_CHAIN)).current;
}

/** A trust bundle to look at or to sign, with or without signatures: none is verified. @throws as {@link readGivenTrust} */
function readUnsignedTrust(file: string): TrustBundle {
  const bytes = readInput(file, 'trust bundle', LIMITS.signature);
  const text = fromUtf8(bytes, 'trust bundle');
  return readTrustBundle(text.includes('"payloadType"') ? parseDsse(bytes).payload : bytes);
}

/** Whatever a file has of trust bundles: the newest of a list, verified, or one by itself. */
export function readAnyTrust(file: string): TrustBundle {
  const bytes = readInput(file, 'trust bundles', MAX_TRUST_CHAIN);
  return fromUtf8(bytes, 'trust bundles').startsWith('[') ? readGivenTrust(file) : readUnsignedTrust(file);
}
