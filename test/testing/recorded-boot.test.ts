import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { Tpm } from '../../native/index.ts';
import { toHex } from '../../src/base/index.ts';
import { BOOT_BANKS, EmulatedIma, emulateBoot, startSwtpm } from '../../src/testing/index.ts';
import { parsePcrSelectionText } from '../../src/tpm/index.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { dataFile, dataJson } from '../support/vectors.ts';

const SHIPPED = path.resolve(import.meta.dirname, '../../share/boot/secure-boot.eventlog.bin');

describe('a recorded boot in an emulated TPM', () => {
  test('gives the PCR values that the machine quoted, IMA included', async () => {
    await using swtpm = await startSwtpm({ banks: ['sha1', 'sha256', 'sha384'], clone: true });
    await using tpm = await Tpm.open(swtpm.tcti);
    const log = new Uint8Array(readFileSync(SHIPPED));
    expect(log).toEqual(dataFile('boots/secure-boot/eventlog.bin'));
    expect(await emulateBoot(tpm, log)).toBeGreaterThan(40);

    const ima = new EmulatedIma(tpm, path.join(temporaryDirectory(), 'list'));
    expect(await ima.replay(dataFile('boots/secure-boot/rounds/r0/ima_binary.bin'))).toBeGreaterThan(400);

    const quoted = dataJson('boots/secure-boot/rounds/r0/main/quoted_pcrs.json') as {
      sha256: Record<string, string>;
    };
    const selection = parsePcrSelectionText(`sha256:${Object.keys(quoted.sha256).join(',')}`);
    const { values } = await tpm.pcrRead(selection);
    const read = Object.fromEntries([...(values.get('sha256') ?? [])].map(([i, v]) => [String(i), toHex(v)]));
    expect(read).toEqual(quoted.sha256);
  });

  test('refuses a log without digests for a bank of the TPM', async () => {
    await using swtpm = await startSwtpm({ clone: true });
    await using tpm = await Tpm.open(swtpm.tcti);
    const log = new Uint8Array(readFileSync(SHIPPED));
    await expect(emulateBoot(tpm, log, [...BOOT_BANKS, 'sha512'])).rejects.toThrow('no sha512 digest');
  });
});
