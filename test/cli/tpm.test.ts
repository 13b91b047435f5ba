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
