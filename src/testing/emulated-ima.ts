import { createHash } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import type { Tpm } from '../../native/index.ts';
import { concat, fromHex, utf8 } from '../base/index.ts';
import { IMA_PCR } from '../evidence/index.ts';
import { readImaRecords } from './ima-records.ts';

/** What a kernel's IMA does, for a machine that has no kernel: measures into a list and a TPM's PCR 10. */
export class EmulatedIma {
  readonly #tpm: Tpm;
  readonly #banks: readonly ('sha1' | 'sha256')[];
  /** The binary list, as `/sys/kernel/security/ima/binary_runtime_measurements` shows it. */
  readonly file: string;

  /** @param file an empty or new file */
  constructor(tpm: Tpm, file: string, banks: readonly ('sha1' | 'sha256')[] = ['sha1', 'sha256']) {
    this.#tpm = tpm;
    this.file = file;
    this.#banks = banks;
  }

  /** Takes over a recorded list, entry by entry. @returns how many entries it has */
  async replay(list: Uint8Array): Promise<number> {
    const records = readImaRecords(list);
    for (const { violation, hashed } of records) await this.#extend(hashed, violation);
    await appendFile(this.file, list, { mode: 0o600 });
    return records.length;
  }

  /**
   * Measures a file as the kernel does when it is executed: an entry of template `ima-ng`.
   * @param sha256 hex
   */
  async measure(path: string, sha256: string): Promise<void> {
    const fields = [concat([utf8('sha256:\0'), fromHex(sha256)]), utf8(`${path}\0`)];
    const data = concat(fields.flatMap((field) => [u32(field.length), field]));
    const name = utf8('ima-ng');
    const sha1 = digest('sha1', data);
    const entry = concat([u32(IMA_PCR), sha1, u32(name.length), name, u32(data.length), data]);
    await this.#extend(data, false);
    await appendFile(this.file, entry, { mode: 0o600 });
  }

  async #extend(hashed: Uint8Array, violation: boolean): Promise<void> {
    const values = this.#banks.map((bank) => {
      const value = digest(bank, hashed);
      return [bank, violation ? value.fill(0xff) : value] as const;
    });
    await this.#tpm.pcrExtend(IMA_PCR, Object.fromEntries(values));
  }
}

function digest(algorithm: string, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(data).digest());
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
