import { refuse } from '../../base/index.ts';
import { PCR_COUNT, digestSize, formatPcrSelection } from '../../tpm/index.ts';
import type { HashName, PcrSelection } from '../../tpm/index.ts';
import type { SealedBinding } from './binding.ts';

/** Seconds after its session's start until which a release can be opened, at most. */
export const MAX_EXPIRATION = 120;

/** User space moves these while a host runs: IMA, systemd's phases, machine id. Sealing to them never opens again. */
const NEVER_SEALED: readonly number[] = [10, 11, 15];
/** The PCR that the gateway extends with the artifact; a renewal is for the host and comes without it. */
const ARTIFACT_PCR = 23;

/**
 * 1 … 120 seconds.
 * @throws Refusal `sealed-expiration`. Zero would never end, and a negative one asks the TPM for a ticket that
 *   satisfies the policy again in other sessions.
 */
export function requireExpiration(expiration: number): void {
  if (!Number.isInteger(expiration) || expiration < 1 || expiration > MAX_EXPIRATION) {
    refuse('sealed-expiration', `an expiration of ${String(expiration)} seconds is not in 1 … 120`, {
      expiration,
    });
  }
}

/** TPMS_CLOCK_INFO's clock when a release quoted at `clock` ends: both deadlines are one number of seconds. */
export function clockDeadline(clock: bigint, expiration: number): bigint {
  return clock + BigInt(expiration) * 1000n;
}

/**
 * The selection that a release or renewal may be sealed to: SHA-2 banks, each once, PCRs 0 … 23 in order, none that
 * moves by itself; the artifact's PCR in a release and not in a renewal.
 * @throws Refusal `sealed-selection`
 */
export function requireSealable(selection: PcrSelection, kind: SealedBinding['kind']): void {
  const no = (reason: string): never =>
    refuse('sealed-selection', reason, { pcrSelection: formatPcrSelection(selection) });
  if (selection.length === 0) no('nothing is selected');
  if (new Set(selection.map(({ bank }) => bank)).size !== selection.length) no('a bank is selected twice');
  for (const { bank, pcrs, sizeofSelect = 3 } of selection) {
    if (bank === 'sha1') no('the SHA-1 bank proves nothing');
    if (pcrs.length === 0 || sizeofSelect !== 3) no(`the selection of bank ${bank} has no usual form`);
    if (
      !pcrs.every((index, at) => Number.isInteger(index) && index > (pcrs[at - 1] ?? -1) && index < PCR_COUNT)
    ) {
      no(`the PCRs of bank ${bank} are not ascending in 0 … 23`);
    }
    if (pcrs.some((index) => NEVER_SEALED.includes(index))) no('PCR 10, 11 or 15 moves while the host runs');
  }
  const hasArtifact = selection.some(({ pcrs }) => pcrs.includes(ARTIFACT_PCR));
  if (kind === 'release' && !hasArtifact) no('a release without PCR 23 is not bound to its artifact');
  if (kind === 'renewal' && hasArtifact) no('a renewal over PCR 23 would be bound to one artifact');
}

/** Gives quoted PCR values; undefined for one that the quote didn't cover. */
export type QuotedPcr = (bank: HashName, index: number) => Uint8Array | undefined;

/** The same, refusing what the quote didn't cover. @throws Refusal `sealed-selection` */
export function coveredBy(quoted: QuotedPcr): (bank: HashName, index: number) => Uint8Array {
  return (bank, index) => {
    const value = quoted(bank, index);
    if (value?.length === digestSize(bank)) return value;
    return refuse('sealed-selection', `PCR ${String(index)} of ${bank} was not quoted`, { bank, pcr: index });
  };
}
