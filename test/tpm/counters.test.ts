import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requireForward, sameBoot } from '../../src/tpm/index.ts';
import type { ClockInfo } from '../../src/tpm/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const at = (resetCount: number, restartCount: number, clock: number | bigint, safe = true): ClockInfo => ({
  clock: BigInt(clock),
  resetCount,
  restartCount,
  safe,
});
const LAST = at(5, 2, 10_000_000);
const LOSS = 2 ** 22;

describe('e17: counters only go forward', () => {
  it.each([
    ['a later clock in the same boot', at(5, 2, 10_000_001)],
    ['… also when it is not safe', at(5, 2, 10_000_001, false)],
    ['a restart with a later clock', at(5, 3, 10_000_001)],
    ['a reset with a later clock, the restarts from zero', at(6, 0, 10_000_001)],
    ['a reset with the same clock', at(6, 0, 10_000_000)],
    ['a power loss that cost clock, marked unsafe', at(6, 0, 10_000_000 - LOSS, false)],
    ['… also at a restart', at(5, 3, 10_000_000 - 1, false)],
    ['several resets', at(900, 7, 10_000_001)],
  ])('accepts %s', (_, now) => {
    requireForward(LAST, now);
  });

  it.each([
    ['the same clock in one boot', at(5, 2, 10_000_000)],
    ['an earlier clock in one boot', at(5, 2, 9_999_999)],
    ['… also when it is not safe', at(5, 2, 9_999_999, false)],
    ['an earlier restart', at(5, 1, 20_000_000)],
    ['an earlier reset (TPM2_Clear or a rolled-back TPM)', at(4, 9, 20_000_000)],
    ['resets from zero', at(0, 0, 0, false)],
    ['a lower clock after a reset that calls itself safe', at(6, 0, 9_999_999)],
    ['a clock lower than a power loss explains', at(6, 0, 10_000_000 - LOSS - 1, false)],
  ])('refuses %s', (_, now) => {
    const refusal = expectRefusal('e17', () => {
      requireForward(LAST, now);
    });
    expect(refusal.detail).toHaveProperty('last.clock', '10000000');
  });

  it('never accepts both directions between two different moments', () => {
    const clocks = fc.record({
      clock: fc.bigInt(0n, 2n ** 24n),
      resetCount: fc.nat(2),
      restartCount: fc.nat(2),
      safe: fc.boolean(),
    });
    const accepts = (last: ClockInfo, now: ClockInfo): boolean => {
      try {
        requireForward(last, now);
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(
      fc.property(clocks, clocks, (a, b) => {
        expect(accepts(a, b) && accepts(b, a)).toBe(false);
      }),
    );
  });

  it('boots are pairs of both counters', () => {
    expect(sameBoot(LAST, at(5, 2, 1))).toBe(true);
    expect(sameBoot(LAST, at(5, 3, 1))).toBe(false);
    expect(sameBoot(LAST, at(6, 2, 1))).toBe(false);
  });
});
