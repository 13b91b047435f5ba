import { Reader } from '../../base/index.ts';
import { EV } from './event-types.ts';
import type { EventLog } from './log.ts';

const SIGNATURE = Buffer.from('StartupLocality\0', 'latin1');
const HCRTM_LOCALITY = 4;

/** How PCR 0 started. */
export interface Startup {
  /** The last byte of PCR 0 before the first extend. */
  readonly locality: number;
  /** False when no event says so and the locality is 0 by default. */
  readonly stated: boolean;
  /** What is wrong with the events that say so, by event. */
  readonly problems: readonly { readonly event: number; readonly reason: string }[];
}

/**
 * Reads StartupLocality (EV_NO_ACTION in PCR 0, before the first extend, locality 0, 3 or 4) and H-CRTM
 * (EV_EFI_HCRTM_EVENT as the first extend of PCR 0 means _TPM_Hash_Start ran at locality 4).
 * Longer event data is tolerated: coreboot pads it (Dasharo issue 1476).
 */
export function readStartup(log: Pick<EventLog, 'events'>): Startup {
  const problems: { event: number; reason: string }[] = [];
  let locality: number | undefined;
  let extended = false;
  for (const { index, pcr, type, data } of log.events) {
    if (pcr !== 0) continue;
    if (type !== EV.NO_ACTION) {
      // _TPM_Hash_Start sets PCR 0 itself, whatever locality TPM2_Startup came from later.
      if (!extended && type === EV.EFI_HCRTM_EVENT) locality = HCRTM_LOCALITY;
      extended = true;
      continue;
    }
    if (!isStartupLocality(data)) continue;
    const stated = data[SIGNATURE.length];
    if (stated === undefined) {
      problems.push({ event: index, reason: 'StartupLocality without a locality' });
      continue;
    }
    if (extended) problems.push({ event: index, reason: 'StartupLocality after PCR 0 was extended' });
    else if (locality !== undefined) problems.push({ event: index, reason: 'a second StartupLocality' });
    else locality = stated;
    if (stated !== 0 && stated !== 3 && stated !== 4)
      problems.push({ event: index, reason: `startup locality ${String(stated)}: only 0, 3 and 4 exist` });
  }
  return { locality: locality ?? 0, stated: locality !== undefined, problems };
}

function isStartupLocality(data: Uint8Array): boolean {
  const head = new Reader(data, 'TCG_EfiStartupLocalityEvent').peek(SIGNATURE.length);
  return head !== undefined && SIGNATURE.every((byte, i) => head[i] === byte);
}
