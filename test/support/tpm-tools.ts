import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Writer } from '../../src/base/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { parsePublicIn } from '../../src/tpm/index.ts';
import type { PublicArea } from '../../src/tpm/index.ts';
import { temporaryDirectory } from './temporary.ts';

/** The EK templates of which an emulated TPM has a key. */
export type EkTemplate = 'L-1' | 'L-2' | 'H-3';

/** An EK that tpm2-tools can use, with its public area. */
export interface ToolEk {
  readonly context: string;
  readonly area: PublicArea;
  readonly template: EkTemplate;
}

/** Where the P-384 EK lies that swtpm_setup makes. */
const PERSISTENT_P384 = '0x81010016';

/** tpm2-tools on one TPM with files in one temporary directory. Must be made at the top of a test file. */
export class TpmTools {
  readonly directory = temporaryDirectory();
  readonly #tpm: () => Swtpm;

  /** @param tpm gives the TPM when it is there, which is after `beforeAll` */
  constructor(tpm: () => Swtpm) {
    this.#tpm = tpm;
  }

  run(name: `tpm2_${string}`, ...args: readonly string[]): Promise<string> {
    return this.#tpm().tool(name, args);
  }

  file(name: string): string {
    return path.join(this.directory, name);
  }

  read(name: string): Uint8Array {
    return new Uint8Array(readFileSync(this.file(name)));
  }

  write(name: string, bytes: Uint8Array): string {
    writeFileSync(this.file(name), bytes);
    return this.file(name);
  }

  /** A file with a TPM2B. */
  writeSized(name: string, bytes: Uint8Array): string {
    return this.write(name, new Writer().sized16(bytes).finish());
  }

  /** Forgets loaded objects: tpm2-tools leave them in the TPM, which has three slots. */
  async flush(): Promise<void> {
    await this.run('tpm2_flushcontext', '-t');
  }

  async endorsementKey(template: EkTemplate): Promise<ToolEk> {
    if (template === 'H-3') {
      await this.run('tpm2_readpublic', '-c', PERSISTENT_P384, '-o', this.file('ek.pub'));
      return { template, context: PERSISTENT_P384, area: parsePublicIn(this.read('ek.pub')).area };
    }
    const context = this.file(`ek-${template}.ctx`);
    const type = template === 'L-1' ? 'rsa' : 'ecc';
    await this.run('tpm2_createek', '-c', context, '-G', type, '-u', this.file('ek.pub'));
    await this.flush();
    return { template, context, area: parsePublicIn(this.read('ek.pub')).area };
  }

  /**
   * Runs one command that uses the EK. Low-range EKs need a session with PolicySecret(endorsement) each time; high
   * range ones take the empty password.
   * @param flag the tool's option for the EK's authorization
   */
  async withEk(
    ek: ToolEk,
    name: `tpm2_${string}`,
    flag: string,
    ...args: readonly string[]
  ): Promise<string> {
    if (ek.template === 'H-3') return this.run(name, ...args);
    const session = this.file('ek-session');
    await this.run('tpm2_startauthsession', '--policy-session', '-S', session);
    try {
      await this.run('tpm2_policysecret', '-S', session, '-c', 'e');
      return await this.run(name, flag, `session:${session}`, ...args);
    } finally {
      await this.run('tpm2_flushcontext', session);
    }
  }
}
