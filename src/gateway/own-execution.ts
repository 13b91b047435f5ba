import type { Checkpoint } from '../audit/index.ts';
import { hostSpiffeId } from '../credential/index.ts';
import type { OwnTerms } from '../credential/index.ts';
import type { BootCounters } from '../evidence/index.ts';
import type { ExecutionRequest } from '../lifecycle/index.ts';
import type { PolicyHighWater, VerifiedTrustBundle } from '../policy/index.ts';

/** What the gateway knows by itself about the execution that it asked for: all that an answer is judged by. */
export interface OwnExecution {
  readonly trust: VerifiedTrustBundle;
  readonly request: ExecutionRequest;
  /** SHA-256(JCS(request)): 32 bytes. */
  readonly requestDigest: Uint8Array;
  /** RFC 7638 thumbprint of the workload key that was made for this execution. */
  readonly workloadThumbprint: string;
  /** TPM name of the host's AK, hex. */
  readonly akName: string;
  /** Clock and counters of the quote that was sent. */
  readonly quoted: OwnTerms['quoted'] & BootCounters;
  /** The values that were quoted. */
  readonly quotedPcr: OwnTerms['quotedPcr'];
  /** Hex SHA-256 of each evidence record that was sent, by name. */
  readonly evidence: ReadonlyMap<string, string>;
  /** The newest that this host has verified; the request names its size. */
  readonly checkpoint: Checkpoint;
  /** The highest policy version that this host has accepted. */
  readonly policySeen: PolicyHighWater | undefined;
  /** Unix ms. */
  readonly now: number;
}

/** The one audience that an authorization and a result for this host may have. */
export const audienceOf = ({ trust, request }: Pick<OwnExecution, 'trust' | 'request'>): string =>
  hostSpiffeId(trust.trustDomain, request.hostId);

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
