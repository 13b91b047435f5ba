import type { HashName } from '../../tpm/index.ts';
import { PcrState } from './pcr-state.ts';

/** What systemd-pcrphase extends into PCR 11, in the order of a boot (systemd-pcrphase.service(8)). */
const PHASES = ['enter-initrd', 'leave-initrd', 'sysinit', 'ready', 'shutdown', 'final'];

/**
 * Explains a PCR 11 that user space extended after the event log: boot phases as words, each at most once, in their
 * order (the first two are missing where the initrd isn't systemd's). At most 64 candidates.
 * @param replayed PCR 11 after the log
 * @returns the words, or undefined when no sequence of them gives the quoted value
 */
export function explainPhases(
  bank: HashName,
  replayed: Uint8Array,
  quoted: Uint8Array,
): readonly string[] | undefined {
  for (let chosen = 0; chosen < 1 << PHASES.length; chosen++) {
    const words = PHASES.filter((_, i) => (chosen & (1 << i)) !== 0);
    const state = new PcrState(bank, replayed);
    for (const word of words) state.extendText(word);
    if (state.is(quoted)) return words;
  }
  return undefined;
}
