import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { NO_IMA_RULES, compileImaRules, verifyIma } from '../../../src/evidence/index.ts';
import { bootEvidence } from '../../support/boot-evidence.ts';
import { signedFile, verifyMade } from '../../support/ima.ts';
import { expectRefusal } from '../../support/refusals.ts';
import { temporaryDirectory } from '../../support/temporary.ts';
import { dataFile } from '../../support/vectors.ts';

const folder = temporaryDirectory();
const inFolder = (name: string, bytes: string | Uint8Array): string => {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
};

// What IMA's own tool (ima-evm-utils) writes and reads.
describe('evmctl', () => {
  const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const keys: readonly (readonly [string, KeyObject, KeyObject])[] = [
    ...(['P-256', 'P-384'] as const).map((namedCurve) => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve });
      return [namedCurve, publicKey, privateKey] as const;
    }),
    ['RSA', RSA.publicKey, RSA.privateKey],
  ];

  it.each(keys)('signs files with %s, and its signatures verify', (name, publicKey, privateKey) => {
    const key = inFolder(`${name}.pem`, privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const file = inFolder(`program-${name}`, 'program');
    execFileSync('evmctl', ['ima_sign', '--sigfile', '--key', key, '-a', 'sha256', file], {
      stdio: 'ignore',
      timeout: 30_000,
    });
    const xattr = new Uint8Array(readFileSync(`${file}.sig`));
    const der = Buffer.from(publicKey.export({ type: 'spki', format: 'der' })).toString('base64');
    const rules = { signed: [{ path: '/usr/**', keyrings: ['ours'] }], keyrings: { ours: [der] } };
    const judged = (content: string) =>
      verifyMade([signedFile('/usr/bin/program', content, xattr)], rules).findings;
    expect(judged('program')).toMatchObject({ signed: 1, unknown: { total: 0 } });
    expect(judged('another')).toMatchObject({ signed: 0, unknown: { total: 1 } });
  });

  /** Where evmctl finds the quoted PCR 10: entries from 1; undefined when nowhere. */
  function entryByEvmctl(list: Uint8Array, pcr10: Uint8Array): number | undefined {
    const bytes = [...pcr10].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const pcrs = Array.from({ length: 24 }, (_, i) => `PCR-${String(i).padStart(2, '0')}: ${bytes}\n`);
    const { stdout, stderr } = spawnSync(
      'evmctl',
      [
        ...['ima_measurement', '-v', '--ignore-violations'],
        ...['--pcrs', `sha256,${inFolder('pcrs', pcrs.join(''))}`, inFolder('list', list)],
      ],
      { encoding: 'utf8', timeout: 30_000 },
    );
    const [, entry] = /sha256 PCR-10: succeed at entry (\d+)/.exec(stdout + stderr) ?? [];
    return entry === undefined ? undefined : Number(entry);
  }

  it.each(['plain-boot', 'secure-boot', 'secure-boot-tampered-cmdline'])(
    'replays the list of %s to the same entry',
    (boot) => {
      const { quote, ima } = bootEvidence(boot, compileImaRules(NO_IMA_RULES));
      const list = dataFile(`boots/${boot}/ima_binary.bin`);
      const pcr10 = quote.pcrs!.get('sha256', 10)!;
      expect(entryByEvmctl(list, pcr10)).toBe(ima.consumed);
    },
  );

  it('and refuses with us a list of which an entry differs', () => {
    const boot = 'secure-boot';
    const { quote } = bootEvidence(boot, compileImaRules(NO_IMA_RULES));
    const list = new Uint8Array(dataFile(`boots/${boot}/ima_binary.bin`));
    list[53] = (list[53] ?? 0) ^ 1; // in the first entry's file digest
    const { resetCount, restartCount } = quote.attest.clockInfo;
    expectRefusal('ima-template-digest', () =>
      verifyIma([list], {
        pcrs: quote.pcrs!,
        boot: { resetCount, restartCount },
        rules: compileImaRules(NO_IMA_RULES),
      }),
    );
    expect(entryByEvmctl(list, quote.pcrs!.get('sha256', 10)!)).toBeUndefined();
  });
});
