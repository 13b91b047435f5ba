import type { HashName } from '../../tpm/index.ts';
import { BankChain } from './bank-chain.ts';
import type { BankMode } from './bank-chain.ts';
import type { DigestedEntries } from './entries.ts';

/** The PCR that IMA extends unless a policy rule says otherwise (CONFIG_IMA_MEASURE_PCR_IDX). */
export const IMA_PCR = 10;

/** A bank to replay: the ways to try, the value to go on from, and the value to reach. */
export interface BankOrder {
  readonly bank: HashName;
  readonly modes: readonly BankMode[];
  /** PCR 10 after the entries that were seen before; a reset PCR when left out. */
  readonly start?: Uint8Array;
  /** Quoted PCR 10. Without one, the whole list is replayed. */
  readonly target?: Uint8Array;
}

/** The running values of every PCR that entries name, in each bank and way; PCRs other than 10 start at zero. */
export class PcrChains {
  readonly #banks: readonly BankOrder[];
  readonly #byPcr = new Map<number, readonly BankChain[]>();
  /** Of PCR 10. */
  readonly #primary: readonly BankChain[];
  /** What each chain of {@link #primary} has to reach. */
  readonly #targets: readonly (Uint8Array | undefined)[];

  constructor(banks: readonly BankOrder[]) {
    this.#banks = banks;
    this.#primary = this.#create(true);
    this.#targets = banks.flatMap(({ modes, target }) => modes.map(() => target));
    this.#byPcr.set(IMA_PCR, this.#primary);
  }

  /** By PCR. */
  get all(): ReadonlyMap<number, readonly BankChain[]> {
    return this.#byPcr;
  }

  /**
   * Extends a PCR with one entry of a batch.
   * @param batch the batch's bytes, which hold the SHA-1 digest at `sha1`
   * @param index number of the entry in the batch
   */
  extend(pcr: number, digested: DigestedEntries, index: number, batch: Uint8Array, sha1: number): void {
    const chains = pcr === IMA_PCR ? this.#primary : this.#of(pcr);
    for (const chain of chains) {
      if (chain.mode !== 'hash' || chain.bank === 'sha1') {
        chain.extendSha1(batch, sha1);
        continue;
      }
      const digests = digested.digests[chain.bank];
      if (digests === undefined) throw new TypeError(`batch without ${chain.bank} digests`);
      chain.extend(digests, (index * chain.size) / 4);
    }
  }

  /** Extends a PCR for a violation. */
  extendViolation(pcr: number): void {
    for (const chain of pcr === IMA_PCR ? this.#primary : this.#of(pcr)) chain.extendViolation();
  }

  /** Banks whose PCR 10 has its target now, with the way that gives it; undefined when none has. */
  reached(): ReadonlyMap<HashName, BankMode> | undefined {
    let found: Map<HashName, BankMode> | undefined;
    for (let i = 0; i < this.#primary.length; i++) {
      const chain = this.#primary[i];
      const target = this.#targets[i];
      if (chain === undefined || target === undefined || !chain.equals(target)) continue;
      found ??= new Map();
      // Of two ways that agree so far, the first.
      if (!found.has(chain.bank)) found.set(chain.bank, chain.mode);
    }
    return found;
  }

  #of(pcr: number): readonly BankChain[] {
    let chains = this.#byPcr.get(pcr);
    if (chains === undefined) {
      chains = this.#create(false);
      this.#byPcr.set(pcr, chains);
    }
    return chains;
  }

  #create(resume: boolean): readonly BankChain[] {
    return this.#banks.flatMap(({ bank, modes, start }) =>
      modes.map((mode) => new BankChain(bank, mode, resume ? start : undefined)),
    );
  }
}
