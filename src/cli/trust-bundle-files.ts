import { parseDsse } from '../artifact/index.ts';
import { fromUtf8 } from '../base/index.ts';
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

/**
 * Whatever a file has of trust bundles, to look at: the newest of a list, verified, or one with or without signatures, of
 * which none is verified.
 * @throws as {@link readGivenTrust}
 */
export function readAnyTrust(file: string): TrustBundle {
  const bytes = readInput(file, 'trust bundles', MAX_TRUST_CHAIN);
  const text = fromUtf8(bytes, 'trust bundles');
  if (text.startsWith('[')) return openGivenTrustChain(bytes).current;
  return readTrustBundle(text.includes('"payloadType"') ? parseDsse(bytes).payload : bytes);
}
