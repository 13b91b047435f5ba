import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startSwtpm } from '../../src/testing/index.ts';
import type { Swtpm } from '../../src/testing/index.ts';
import { cli } from '../support/cli.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-cli-tpm-'));
let swtpm: Swtpm;
beforeAll(async () => {
  swtpm = await startSwtpm({ banks: ['sha1', 'sha256'] });
});
afterAll(async () => {
  await swtpm.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function json(...argv: string[]): Promise<{ exit: number; answer: Record<string, unknown> }> {
  const { exit, stdout } = await cli(...argv, '--tcti', swtpm.tcti, '--json');
  return { exit, answer: JSON.parse(stdout) as Record<string, unknown> };
}

describe('sealgate tpm', () => {
  it('info names the TPM and its active banks', async () => {
    const { exit, answer } = await json('tpm', 'info');
    expect(exit).toBe(0);
    expect(answer).toMatchObject({ ok: true, denial: null, manufacturer: 'IBM', pcrBanks: { sha512: [] } });
    expect((answer['pcrBanks'] as Record<string, number[]>)['sha256']).toHaveLength(24);
    expect((await cli('tpm', 'info', '--tcti', swtpm.tcti)).stdout).toContain('manufacturer');
  });

  it('pcrs prints what verify quote reads, all or those selected', async () => {
    const all = await json('tpm', 'pcrs');
    expect(Object.keys(all.answer)).toEqual(['sha1', 'sha256']);
    const { answer } = await json('tpm', 'pcrs', '--select', 'sha256:0,23');
    expect(answer).toEqual({ sha256: { '0': '0'.repeat(64), '23': '0'.repeat(64) } });
    expect((await json('tpm', 'pcrs', '--select', 'nonsense')).exit).toBe(2);
  });

  it('ek describes the key and its certificate', async () => {
    const { exit, answer } = await json('tpm', 'ek');
    expect(exit).toBe(0);
    expect(answer).toMatchObject({ template: 'L-1', certificate: { nvIndex: '0x01c00002' } });
    expect(answer['hostId']).toMatch(/^[0-9a-f]{64}$/);
    const p384 = await json('tpm', 'ek', '--template', 'H-3');
    expect(p384.answer).toMatchObject({ certificate: { nvIndex: '0x01c00016' }, area: { curve: 'P-384' } });
    expect((await json('tpm', 'ek', '--template', 'L-2')).answer['certificate']).toBeNull();
    expect((await json('tpm', 'ek', '--template', 'X-9')).exit).toBe(2);
  });

  it('ek says which templates there are: SM2’s is none of them', async () => {
    const names = 'L-1, L-2, H-1, H-2, H-3, H-4, H-6, H-7';
    expect((await cli('tpm', 'ek', '--help')).stdout.replace(/\s+/g, ' ')).toContain(names);
    const refused = await cli('tpm', 'ek', '--template', 'H-5', '--tcti', swtpm.tcti);
    expect(refused).toMatchObject({ exit: 2 });
    expect(refused.stderr).toContain(names);
  });

  it('ek of a key that this TPM doesn’t have says so', async () => {
    const { exit, answer } = await json('tpm', 'ek', '--template', 'H-7');
    expect(exit).toBe(1);
    expect(answer).toMatchObject({ ok: false, denial: { check: 'tpm-ek-unsupported' } });
    expect(answer['denial']).toMatchObject({
      reason: expect.stringContaining(
        'template H-7 (RSA 4096, sha384): TPM2_CreatePrimary: TPM_RC_',
      ) as string,
    });
  });

  it('a TPM that is not there is one clear refusal', async () => {
    const { exit, stdout } = await cli('tpm', 'info', '--tcti', 'swtpm:path=/no/such/socket', '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      denial: { code: 'verifier-fault', check: 'tpm-unreachable' },
    });
    const people = await cli('tpm', 'info', '--tcti', 'no-such-tcti:x');
    expect(people.exit).toBe(1);
    expect(people.stderr).toContain('remedy');
  });
});

describe('an endorsement key that is not the one of its certificate', () => {
  const define = async (tpm: Swtpm, index: string, size: number): Promise<void> => {
    await tpm.tool('tpm2_nvdefine', [
      index,
      '-C',
      'p',
      '-s',
      String(size),
      '-a',
      'platformcreate|authread|ppwrite|ownerread',
    ]);
  };
  const ek = async (
    tpm: Swtpm,
    template: string,
  ): Promise<{ exit: number; answer: Record<string, unknown> }> => {
    const { exit, stdout } = await cli('tpm', 'ek', '--template', template, '--tcti', tpm.tcti, '--json');
    return { exit, answer: JSON.parse(stdout) as Record<string, unknown> };
  };

  it.each([
    ['L-1', '0x01c00003', 'nonce'],
    ['L-1', '0x01c00004', 'template'],
    ['L-2', '0x01c0000b', 'nonce'],
    ['L-2', '0x01c0000c', 'template'],
  ])(
    '%s is refused where NV has the manufacturer’s own at %s, other templates are not',
    async (template, index) => {
      await using tpm = await startSwtpm({ clone: true });
      await define(tpm, index, 32);
      // One that is there from the factory may be the certified one.
      if (template === 'L-1') {
        expect((await ek(tpm, template)).exit).toBe(0);
        await tpm.tool('tpm2_evictcontrol', ['-C', 'o', '-c', '0x81010001']);
      }
      const refused = await ek(tpm, template);
      expect(refused.exit).toBe(1);
      expect(refused.answer).toMatchObject({
        ok: false,
        denial: { check: 'tpm-ek-template', detail: { template, nvIndex: index } },
      });
      expect((refused.answer['denial'] as { reason: string }).reason).toContain(index);
      for (const other of [template === 'L-1' ? 'L-2' : 'L-1', 'H-1', 'H-3'])
        expect((await ek(tpm, other)).exit).toBe(0);
    },
  );

  it('is reported by a reason of its own, with the index and the certificate', async () => {
    await using tpm = await startSwtpm({ clone: true });
    await using another = await startSwtpm({ clone: false });
    const certificate = path.join(folder, 'another.der');
    writeFileSync(certificate, another.ekCertificates.rsa2048);
    await define(tpm, '0x01c00012', another.ekCertificates.rsa2048.length);
    await tpm.tool('tpm2_nvwrite', ['0x01c00012', '-C', 'p', '-i', certificate]);
    const { exit, answer } = await ek(tpm, 'H-1');
    expect(exit).toBe(1);
    expect(answer).toMatchObject({
      ok: false,
      denial: {
        check: 'tpm-ek-certificate',
        code: 'runtime-identity-mismatch',
        detail: { nvIndex: '0x01c00012' },
      },
    });
  });
});

describe('sealgate evidence collect', () => {
  it('writes evidence that verifies, leaves no key behind, and overwrites nothing', async () => {
    const directory = path.join(folder, 'evidence');
    const nonce = 'ab'.repeat(32);
    const log = path.join(folder, 'ima');
    writeFileSync(log, '');
    const flags = [
      '-o',
      directory,
      '--nonce',
      nonce,
      '--select',
      'sha256:0,7,10',
      '--eventlog',
      '/no/such/log',
      '--ima',
      '/no/such/list',
    ];
    const { exit, answer } = await json('evidence', 'collect', ...flags);
    expect(exit).toBe(0);
    expect(answer).toMatchObject({
      ok: true,
      files: ['quote.msg', 'quote.sig', 'ak.pub', 'nonce.hex', 'quoted_pcrs.json'],
      missing: ['/no/such/log', '/no/such/list'],
    });
    expect(readFileSync(path.join(directory, 'nonce.hex'), 'utf8').trim()).toBe(nonce);
    expect(await swtpm.tool('tpm2_getcap', ['handles-persistent'])).not.toContain('0x8101002');
    const verified = await cli('verify', 'evidence', '--dir', directory, '--json');
    expect(verified.exit).toBe(0);
    expect(JSON.parse(verified.stdout)).toMatchObject({
      ok: true,
      quote: { qualifyingData: nonce, pcrSelection: { sha256: [0, 7, 10] } },
    });
    expect((await json('evidence', 'collect', ...flags)).answer).toMatchObject({
      ok: false,
      denial: { check: 'collect-directory' },
    });
  });

  it('wrong flags are exit 2', async () => {
    for (const flags of [
      ['--nonce', 'xy'],
      ['--nonce', ''],
      ['--select', 'md5:0'],
    ]) {
      expect((await json('evidence', 'collect', '-o', path.join(folder, 'x'), ...flags)).exit).toBe(2);
    }
  });
});
