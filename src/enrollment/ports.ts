import type { EnrollmentChallenge } from './challenge.ts';

/**
 * Challenges that wait for their answer. They live for minutes in one verifier's memory: a host whose answer doesn't
 * reach the verifier that asked begins anew, and after a restart none is valid.
 */
export interface EnrollmentChallenges {
  /** @throws Refusal `enroll-busy` when too many wait */
  put(challenge: EnrollmentChallenge, now: number): Promise<void>;
  /** Gives the challenge and forgets it in one step: whoever answers, rightly or wrongly, answers once. */
  take(enrollmentId: string): Promise<EnrollmentChallenge | undefined>;
}
