import type { OwnDecision } from '../../agent/judge/own-decision.ts';
import type { Checkpoint } from '../../audit/index.ts';
import type { OwnTerms } from '../../credential/index.ts';
import type { BootCounters } from '../../evidence/index.ts';
import type { ExecutionRequest } from '../../lifecycle/index.ts';
import type { PolicyHighWater, VerifiedTrustBundle } from '../../policy/index.ts';

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

/** The part that every decision has: judged by what judges attestations too. */
export function decisionOf({ request, workloadThumbprint, quoted, ...own }: OwnExecution): OwnDecision {
  const { trust, akName, requestDigest, evidence, checkpoint, policySeen, now } = own;
  return {
    ...{ trust, akName, requestDigest, evidence, checkpoint, policySeen, now },
    hostId: request.hostId,
    nonce: request.nonce,
    boot: quoted,
    confirmation: workloadThumbprint,
  };
}
