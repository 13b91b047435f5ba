import { digest, isHashName } from '../../tpm/index.ts';
import type { HashName } from '../../tpm/index.ts';
import { refuse, toHex } from '../../base/index.ts';
import type { ImaFindings } from './findings.ts';

/** PCR values by bank and index: quoted ones, or those that an event log gives. */
export interface PcrSource {
  get(bank: HashName, index: number): Uint8Array | undefined;
}

/** How far the first entry ties the list to this boot. */
export interface BootAggregate {
  readonly bank: HashName;
  /** Lowercase hex. */
  readonly digest: string;
  /**
   * `quote`: equal to the quoted PCRs. `log`: equal to what the quoted PCRs and, for those that aren't quoted, the
   * event log give. `unchecked`: neither has these PCRs.
   */
  readonly checkedWith: 'quote' | 'log' | 'unchecked';
}

/**
 * The boot_aggregate: the list's first entry, over PCR 0–9 of the bank of its algorithm (0–7 for SHA-1: kernels before
 * 5.8, and the template `ima`).
 * @throws Refusal `ima-boot-aggregate` when it is missing or another
 */
export function checkBootAggregate(
  findings: ImaFindings,
  quoted: PcrSource,
  log: PcrSource | undefined,
): BootAggregate {
  const [first] = findings.bootAggregates.list;
  if (first?.entry !== 0)
    refuse('ima-boot-aggregate', 'the list does not begin with a boot_aggregate', { entry: 0 });
  const [bank, hex] = first.digest.split(':');
  if (bank === undefined || hex === undefined || !isHashName(bank)) {
    return refuse('ima-boot-aggregate', 'boot_aggregate of an algorithm that no bank has', {
      got: first.digest,
    });
  }
  const indexes = [...Array(bank === 'sha1' ? 8 : 10).keys()];
  const fromQuote = indexes.map((index) => quoted.get(bank, index));
  const values = indexes.map((index) => fromQuote[index] ?? log?.get(bank, index));
  const known = values.filter((value) => value !== undefined);
  if (known.length < values.length) return { bank, digest: hex, checkedWith: 'unchecked' };
  const expected = toHex(digest(bank, ...known));
  if (expected !== hex) {
    refuse('ima-boot-aggregate', 'boot_aggregate is not that of these PCRs: the list is of another boot', {
      entry: 0,
      bank,
      expected,
      got: hex,
    });
  }
  return { bank, digest: hex, checkedWith: fromQuote.includes(undefined) ? 'log' : 'quote' };
}
