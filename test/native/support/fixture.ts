import { afterAll, beforeAll } from 'vitest';
import { Tpm } from '../../../native/index.ts';
import { startSwtpm } from '../../../src/testing/index.ts';
import type { Swtpm, SwtpmOptions } from '../../../src/testing/index.ts';
import type { PcrSelection } from '../../../src/tpm/index.ts';

/** An emulated TPM and node-tpm2's connection to it, for the tests of one file; must be made at the file's top. */
export class TpmFixture {
  #swtpm: Swtpm | undefined;
  #tpm: Tpm | undefined;

  constructor(options: SwtpmOptions = {}) {
    beforeAll(async () => {
      this.#swtpm = await startSwtpm(options);
      this.#tpm = await Tpm.open(this.#swtpm.tcti);
    });
    afterAll(async () => {
      await this.#tpm?.close();
      await this.#swtpm?.stop();
    });
  }

  get swtpm(): Swtpm {
    if (this.#swtpm === undefined) throw new Error('no TPM before beforeAll');
    return this.#swtpm;
  }

  get tpm(): Tpm {
    if (this.#tpm === undefined) throw new Error('no TPM before beforeAll');
    return this.#tpm;
  }

  /** Lets somebody else have the TPM, which serves one connection at a time, and connects again. */
  async aside<T>(use: (swtpm: Swtpm) => Promise<T>): Promise<T> {
    await this.tpm.close();
    try {
      return await use(this.swtpm);
    } finally {
      this.#tpm = await Tpm.open(this.swtpm.tcti);
    }
  }
}

/** What is left in the TPM that should have been flushed. */
export async function leftOver(tpm: Tpm): Promise<{ transient: number; sessions: number }> {
  const [transient, sessions] = [await tpm.handles('transient'), await tpm.handles('loadedSessions')];
  return { transient: transient.length, sessions: sessions.length };
}

/** All 24 PCRs of a bank, or some. */
export function sha256Pcrs(...pcrs: number[]): PcrSelection {
  return [{ bank: 'sha256', pcrs }];
}
