import { refuse } from '../base/index.ts';
import type { EnrollmentChallenge } from './challenge.ts';
import type { EnrollmentChallenges } from './ports.ts';

/** {@link EnrollmentChallenges} in memory. @param max challenges at one time, so that nobody fills the memory */
export function challengeMemory(max = 10_000): EnrollmentChallenges {
  const waiting = new Map<string, EnrollmentChallenge>();
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject, not throw
    put: async (challenge, now) => {
      for (const [id, { expires }] of waiting) {
        // In the order of their making, and all live equally long.
        if (expires > now) break;
        waiting.delete(id);
      }
      if (waiting.size >= max) refuse('enroll-busy', 'too many enrollments are under way', { max });
      waiting.set(challenge.enrollmentId, challenge);
    },
    take: (enrollmentId) => {
      const challenge = waiting.get(enrollmentId);
      waiting.delete(enrollmentId);
      return Promise.resolve(challenge);
    },
  };
}
