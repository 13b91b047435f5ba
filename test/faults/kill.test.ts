import { describe, expect, it } from 'vitest';
import { newSeed, runFaults } from '../../scripts/lib/fault-rounds.ts';
import { systemRandom } from '../support/random.ts';

describe('a verifier that is killed under load', () => {
  it('released nothing without a leaf, lost no leaf that was answered, decides no nonce twice', async () => {
    const seed = newSeed(systemRandom.bytes(9));
    // What fails is told with the seed and the round.
    const results = await runFaults({ rounds: 10, seed });
    expect(results).toHaveLength(10);
    expect(results.some(({ answered }) => answered > 0)).toBe(true);
  }, 240_000);
});
