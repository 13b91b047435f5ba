import { refuse } from '../../base/index.ts';
import type { ClockInfo } from '../clock-info.ts';

/**
 * How far the clock may be behind after a reset or restart, in milliseconds: a TPM saves it at least every 2^22 ms
 * (TPM 2.0 Part 1 §36.3.2), so an unorderly power loss costs at most that much.
 */
const CLOCK_LOSS_MS = 2n ** 22n;

/**
 * e17: a TPM's counters only go forward (docs: PROTOCOL "What counts as verified"). A *boot* is the pair
 * (resetCount, restartCount); for one EK it never goes back in lexicographic order, within it the clock strictly
 * grows, and after it the clock may be lower only by what a power loss costs, with `safe` clear.
 * @param last of the last accepted quote by any AK under the same EK
 * @param now of the quote in question
 * @throws Refusal `e17`
 */
export function requireForward(last: ClockInfo, now: ClockInfo): void {
  const order = compareBoots(last, now);
  if (order < 0) {
    // TPM2_Clear, or a virtual TPM that was rolled back: only a new enrollment helps.
    refuse('e17', 'the TPM’s reset or restart counter went back', detail(last, now));
  }
  if (order === 0 && now.clock <= last.clock) {
    refuse('e17', 'the TPM’s clock did not advance within one boot', detail(last, now));
  }
  const lost = last.clock - now.clock;
  if (order > 0 && lost > 0n && (now.safe || lost > CLOCK_LOSS_MS)) {
    refuse('e17', 'the TPM’s clock went back by more than a power loss explains', detail(last, now));
  }
}

/** True when both are of one boot: what was measured and sealed in one holds in the other. */
export function sameBoot(a: ClockInfo, b: ClockInfo): boolean {
  return compareBoots(a, b) === 0;
}

/** Negative when `now` is an earlier boot than `last`. */
function compareBoots(last: ClockInfo, now: ClockInfo): number {
  return now.resetCount === last.resetCount
    ? now.restartCount - last.restartCount
    : now.resetCount - last.resetCount;
}

function detail(
  last: ClockInfo,
  now: ClockInfo,
): { last: ReturnType<typeof plain>; now: ReturnType<typeof plain> } {
  return { last: plain(last), now: plain(now) };
}

function plain({ clock, resetCount, restartCount, safe }: ClockInfo) {
  return { clock: clock.toString(), resetCount, restartCount, safe };
}
