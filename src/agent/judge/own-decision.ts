import type { Checkpoint } from '../../audit/index.ts';
import { hostSpiffeId } from '../../credential/index.ts';
import type { BootCounters } from '../../evidence/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { PolicyHighWater, VerifiedTrustBundle } from '../../policy/index.ts';

/** What a host knows by itself about any decision that it asked for: what an answer is judged by (PROTOCOL 9). */
export interface OwnDecision {
  readonly trust: VerifiedTrustBundle;
  readonly hostId: string;
  /** TPM name of the AK, hex. */
  readonly akName: string;
  readonly nonce: string;
  /** SHA-256(JCS(request)): 32 bytes. */
  readonly requestDigest: Uint8Array;
  /** Of the quote that was sent. */
  readonly boot: BootCounters;
  /** Hex SHA-256 of each evidence record that was sent, by name. */
  readonly evidence: ReadonlyMap<string, string>;
  /** RFC 7638 thumbprint of the key that the attestation result is about. */
  readonly confirmation: string;
  /** The newest that this host has verified; the request names its size. */
  readonly checkpoint: Checkpoint;
  /** The highest policy version that this host has accepted. */
  readonly policySeen: PolicyHighWater | undefined;
  /** Unix ms. */
  readonly now: number;
}

/** What every answer that allows has; its form is right, nothing of it is believed. */
export interface ClaimedDecision {
  readonly leaf: string;
  readonly proof: string;
  readonly consistency: readonly string[];
  readonly attestationResult: string;
  readonly policyManifest: JsonObject;
  readonly sealed: JsonObject | null;
}

/** The one audience that an authorization and a result for this host may have. */
export const audienceOf = ({ trust, hostId }: Pick<OwnDecision, 'trust' | 'hostId'>): string =>
  hostSpiffeId(trust.trustDomain, hostId);

/** Names of the comparisons that don't hold. */
export function differing(comparisons: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(comparisons).flatMap(([name, same]) => (same ? [] : [name]));
}

/** True when both hold the same values, in any order, each once. */
export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  const set = new Set(a);
  return (
    set.size === a.length &&
    new Set(b).size === b.length &&
    a.length === b.length &&
    b.every((one) => set.has(one))
  );
}
