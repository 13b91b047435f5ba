import type { Tpm } from '../../native/index.ts';
import { parseEventLog } from '../evidence/index.ts';
import type { HashName } from '../tpm/index.ts';

/** Banks of a TPM for {@link emulateBoot}: those that recorded logs have digests for. */
export const BOOT_BANKS: readonly HashName[] = ['sha1', 'sha256', 'sha384'];

const EV_NO_ACTION = 3;

/**
 * Extends every event of a recorded event log into a freshly started TPM, in the log's order, so that its PCRs are
 * those of that boot. A log whose PCR 0 began at another locality than 0 gives other values: software can't repeat it.
 * @param banks allocated PCR banks of the TPM
 * @returns how many events were extended
 * @throws Refusal `no-event-log`, `malformed`; RangeError for an event without a digest for one of the banks
 */
export async function emulateBoot(
  tpm: Tpm,
  log: Uint8Array,
  banks: readonly HashName[] = BOOT_BANKS,
): Promise<number> {
  let extended = 0;
  for (const { index, pcr, type, digests } of parseEventLog(log).events) {
    if (type === EV_NO_ACTION) continue;
    const wanted = banks.map((bank) => {
      const value = digests[bank];
      if (value === undefined) throw new RangeError(`event ${String(index)} has no ${bank} digest`);
      return [bank, value] as const;
    });
    await tpm.pcrExtend(pcr, Object.fromEntries(wanted));
    extended++;
  }
  return extended;
}
