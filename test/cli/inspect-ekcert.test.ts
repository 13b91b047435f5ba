import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toPem } from '../../src/x509/index.ts';
import { cli } from '../support/cli.ts';

const DATA = path.resolve(import.meta.dirname, '../data');
const gce = (name: string) => path.join(DATA, 'gce-vtpm', name);
const swtpm = (name: string) => path.join(DATA, 'swtpm-certificates/secure-boot', name);
const UCA = [gce('ca-certs/tpm_ek_root_1.cer'), gce('ca-certs/tpm_ek_intermediate_3.crt')];
const PCA = [gce('ca-certs/gcp_ek_ak_ca_root.crt'), gce('ca-certs/gcp_ek_ak_ca_intermediate_v3.crt')];
const certificate = (name: string) => gce(`certificates/${name}_cert.pem`);

let dir: string;
beforeAll(() => (dir = mkdtempSync(path.join(tmpdir(), 'sealgate-ekcert-'))));
afterAll(() => {
  rmSync(dir, { recursive: true });
});

/** Without the operator's own roots, and at a fixed time. */
async function inspect(...argv: string[]): Promise<{ exit: number; answer: Record<string, unknown> }> {
  const { exit, stdout } = await cli(
    ...['inspect', 'ekcert', ...argv, '--json', '--trust-file', path.join(dir, 'none.json')],
    ...(argv.includes('--at') ? [] : ['--at', '2026-12-01T00:00:00Z']),
  );
  return { exit, answer: JSON.parse(stdout) as Record<string, unknown> };
}
function written(name: string, ...parts: (Uint8Array | readonly number[])[]): string {
  const file = path.join(dir, name);
  writeFileSync(file, Buffer.concat(parts.map((part) => Buffer.from(part))));
  return file;
}

describe('sealgate inspect ekcert', () => {
  it.each([
    ['uca_tpm_rsa_enc', UCA, { vendorId: 'GOOG', model: 'vTPM' }, ['L-1', 'H-1'], []],
    ['uca_tpm_ecc_enc', UCA, { vendorId: 'GOOG', model: 'vTPM' }, ['L-2', 'H-2'], []],
    ['pca_tpm_rsa_enc', PCA, null, ['L-1', 'H-1'], ['gce-private-ca']],
    ['pca_tpm_ecc_enc', PCA, null, ['L-2', 'H-2'], ['gce-private-ca']],
  ])('%s with its roots', async (name, roots, tpm, templates, quirks) => {
    const { exit, answer } = await inspect(certificate(name), '--roots', ...roots);
    expect(exit).toBe(0);
    expect(answer).toMatchObject({
      ok: true,
      denial: null,
      encoding: 'pem',
      vendor: 'google',
      templates,
      quirks,
    });
    expect(answer['tpm']).toEqual(tpm === null ? null : expect.objectContaining(tpm));
    expect(answer['chain']).toHaveLength(3);
    expect(answer['unchecked']).toEqual(['revocation']);
  });

  it.each([
    ['an AK certificate', 'uca_tpm_rsa_sign', UCA, 'x509-key-usage'],
    ['the roots of the other series', 'uca_tpm_rsa_enc', PCA, 'x509-untrusted'],
    ['the other root', 'pca_tpm_ecc_enc', [UCA[0]!, PCA[1]!], 'x509-untrusted'],
    ['the root without the intermediate', 'uca_tpm_ecc_enc', [UCA[0]!], 'x509-untrusted'],
    ['the intermediate without the root', 'uca_tpm_ecc_enc', [UCA[1]!], 'x509-no-anchors'],
  ])('refuses with %s', async (_, name, roots, check) => {
    const { exit, answer } = await inspect(certificate(name), '--roots', ...roots);
    expect(exit).toBe(1);
    expect(answer).toMatchObject({
      ok: false,
      denial: { stage: 'identity', code: 'invalid-verification', check },
    });
  });

  it('takes intermediates that are not trusted, and an intermediate as anchor when told', async () => {
    const chained = await inspect(certificate('uca_tpm_rsa_enc'), '--roots', UCA[0]!, '--chain', UCA[1]!);
    expect(chained.answer).toMatchObject({ ok: true });
    const crossed = await inspect(certificate('uca_tpm_rsa_enc'), '--roots', PCA[0]!, '--chain', UCA[1]!);
    expect(crossed.answer).toMatchObject({ ok: false, chain: null, denial: { check: 'x509-untrusted' } });
    const partial = await inspect(certificate('uca_tpm_rsa_enc'), '--roots', UCA[1]!, '--partial-chain');
    expect(partial.answer['chain']).toHaveLength(2);
  });

  it('uses the trust file, when no roots are given', async () => {
    const trust = path.join(dir, 'trust.json');
    await cli('trust', 'add', '--vendor', 'google', '--trust-file', trust);
    const use = async (name: string) =>
      (await cli('inspect', 'ekcert', certificate(name), '--trust-file', trust)).exit;
    expect([
      await use('uca_tpm_rsa_enc'),
      await use('pca_tpm_ecc_enc'),
      await use('uca_tpm_rsa_sign'),
    ]).toEqual([0, 0, 1]);
    const swtpmEk = await cli('inspect', 'ekcert', swtpm('ek.crt'), '--trust-file', trust, '--json');
    expect(JSON.parse(swtpmEk.stdout)).toMatchObject({ ok: false, denial: { check: 'x509-untrusted' } });
  });

  it('without any root says that the path was not checked; --strict refuses', async () => {
    const { exit, answer } = await inspect(certificate('pca_tpm_rsa_enc'));
    expect([exit, answer]).toMatchObject([
      0,
      { ok: true, chain: null, unchecked: ['path', 'revocation'], vendor: 'google' },
    ]);
    expect((await inspect(certificate('pca_tpm_rsa_enc'), '--strict')).answer).toMatchObject({
      ok: false,
      denial: { check: 'x509-no-anchors' },
    });
    expect((await inspect(certificate('pca_tpm_rsa_sign'))).answer).toMatchObject({
      ok: false,
      denial: { check: 'x509-key-usage' },
    });
  });

  it('reads DER, the NV wrapper and padding', async () => {
    const der = new Uint8Array(readFileSync(swtpm('ek.crt')));
    const roots = ['--roots', swtpm('root.crt'), '--chain', swtpm('issuer.crt')];
    const wrapped = written('wrapped.bin', [0x10, 1, 0, der.length >> 8, der.length & 0xff], der, [0, 0, 0]);
    for (const [file, encoding] of [
      [swtpm('ek.crt'), 'der'],
      [written('padded.bin', der, new Uint8Array(100).fill(0xff)), 'nv'],
      [wrapped, 'nv'],
    ] as const) {
      expect((await inspect(file, ...roots)).answer).toMatchObject({
        ok: true,
        encoding,
        tpm: { model: 'swtpm', vendorId: null },
      });
    }
    const garbage = await inspect(written('garbage.bin', der, [1, 2, 3]), ...roots);
    expect(garbage).toMatchObject({
      exit: 1,
      answer: { denial: { code: 'malformed-request', check: 'x509-nv-content' } },
    });
  });

  it('takes the chain from the same PEM file', async () => {
    const pem = written(
      'chain.pem',
      ...['ek.crt', 'issuer.crt'].map((name) =>
        Buffer.from(toPem(new Uint8Array(readFileSync(swtpm(name))))),
      ),
    );
    expect((await inspect(pem, '--roots', swtpm('root.crt'))).answer).toMatchObject({ ok: true });
  });

  it('judges dates as of the named time', async () => {
    const at = (time: string) => inspect(certificate('uca_tpm_rsa_enc'), '--roots', ...UCA, '--at', time);
    expect((await at('2060-01-01T00:00:00Z')).answer).toMatchObject({
      denial: { code: 'expired-authorization', check: 'x509-expired' },
    });
    expect((await at('2020-01-01T00:00:00Z')).answer).toMatchObject({
      denial: { check: 'x509-not-yet-valid' },
    });
    expect((await at('yesterday')).exit).toBe(2);
  });

  it('refuses platform certificates and what is no certificate', async () => {
    const platform = await inspect(swtpm('platform.crt'), '--roots', swtpm('root.crt'), swtpm('issuer.crt'));
    expect(platform.answer).toMatchObject({
      denial: { check: 'x509-purpose' },
      certificate: { extKeyUsage: ['tcgPlatformAttributeCertificate'] },
    });
    const attribute = await inspect(path.join(DATA, 'platform-certificates/lenovo.cer'));
    expect(attribute).toMatchObject({
      exit: 1,
      answer: { ok: false, denial: { code: 'malformed-request' } },
    });
    expect((await inspect(path.join(dir, 'missing'))).exit).toBe(2);
    expect((await inspect(written('empty', []))).answer).toMatchObject({
      denial: { check: 'x509-nv-content' },
    });
  });

  it('prints for people, without what could move a cursor', async () => {
    const { stdout, stderr, exit } = await cli(
      'inspect',
      'ekcert',
      certificate('uca_tpm_rsa_enc'),
      '--roots',
      ...UCA,
    );
    expect([exit, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/manufacturer +id:474F4F47/);
    expect(stdout).toContain('EK certificate of a trusted root');
    const help = await cli('inspect', 'ekcert', '--help');
    expect(help.stdout).toContain('Example:');
  });
});
