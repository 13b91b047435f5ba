import type { ClockInfo } from '../clock-info.ts';
import type { PcrSelection } from '../pcr-selection.ts';

/** What a verifier remembers of the challenge that a quote answers (e2). */
export interface ChallengeRecord {
  /** Bytes of randomness or MAC in the nonce. */
  readonly nonceLength: number;
  readonly issuedTo: string;
  readonly presentedBy: string;
  /** Unix time in milliseconds. */
  readonly expiresAt: number;
  readonly now: number;
  /** True when it was presented before. */
  readonly spent: boolean;
}

/** What enrollment pinned about the attestation key (e3). */
export interface EnrolledKey {
  readonly name: Uint8Array;
  readonly revoked: boolean;
}

/**
 * What a quote is held against. Only the nonce is always needed; a check whose expectation is left out is listed as
 * unchecked, never passed in silence.
 */
export interface QuoteExpectations {
  /** e16: the qualifyingData exactly; not empty. */
  readonly nonce: Uint8Array;
  /** e19: the selection that was asked for. */
  readonly selection?: PcrSelection;
  /** e19: PCRs that policy wants in it. */
  readonly required?: PcrSelection;
  /** e2 */
  readonly challenge?: ChallengeRecord;
  /** e3 */
  readonly enrolled?: EnrolledKey;
  /** e15: the qualified name computed for this key in the endorsement hierarchy. */
  readonly qualifiedSigner?: Uint8Array;
  /** e17: of the last accepted quote under the same EK; null when this is the first. */
  readonly lastClock?: ClockInfo | null;
  /** e18: the lowest firmware version that policy accepts. */
  readonly firmwareFloor?: bigint;
}

/** A check that was not made since what it needs was not given. */
export type UncheckedId =
  'e2' | 'e3' | 'e4' | 'e5' | 'e7' | 'e9' | 'e10' | 'e15' | 'e17' | 'e18' | 'e19' | 'e21' | 'e22';
