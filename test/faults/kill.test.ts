import { describe, expect, it } from 'vitest';
import { newSeed, runFaults } from '../../scripts/lib/fault-rounds.ts';
import { systemRandom } from '../support/random.ts';

describe('a verifier that is killed under load, has a full disk, or a clock that goes back', () => {
  it('released nothing without a leaf, lost no leaf that was answered, decides no nonce twice', async () => {
    const seed = newSeed(systemRandom.bytes(9));
    // What fails is told with the seed and the round.
    const results = await runFaults({ rounds: 10, seed });
    expect(results).toHaveLength(10);
    expect(results.some(({ answered }) => answered > 0)).toBe(true);
    for (const { fault, refused } of results) expect([fault, refused > 0]).toEqual([fault, fault === 'disk']);
    expect(new Set(results.map(({ fault }) => fault))).toEqual(new Set(['kill', 'disk', 'clock']));
  }, 240_000);
});
