import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shippedRoots } from '../../src/cli/shipped-roots.ts';
import { defaultTrustFile } from '../../src/cli/trust-file.ts';
import { cli } from '../support/cli.ts';

const GCE = path.resolve(import.meta.dirname, '../data/gce-vtpm');
const SHARE = path.resolve(import.meta.dirname, '../../share/ek-roots');

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'sealgate-trust-'));
  file = path.join(dir, 'config', 'trust.json');
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

interface Row {
  readonly fingerprint: string;
  readonly role: string;
  readonly purpose: unknown;
  readonly expired: boolean;
}
async function json(
  ...argv: string[]
): Promise<Record<string, unknown> & { ok: boolean; certificates: Row[]; available: Row[] }> {
  const { stdout } = await cli('trust', ...argv, '--trust-file', file, '--json');
  return JSON.parse(stdout) as Awaited<ReturnType<typeof json>>;
}
const ok = { ok: true, denial: null };

describe('sealgate trust', () => {
  it('trusts nothing to begin with', async () => {
    expect(await json('ls')).toEqual({ ...ok, file, certificates: [] });
    expect(existsSync(file)).toBe(false);
    expect(
      (await json('ls', '--available')).available.every(({ purpose }) => (purpose as string[]).length === 0),
    ).toBe(true);
  });

  it('adds a shipped manufacturer, lists it, removes it', async () => {
    expect((await cli('trust', 'add', '--vendor', 'infineon', '--trust-file', file)).exit).toBe(0);
    const { certificates } = await json('ls');
    expect(certificates).toHaveLength(23);
    expect(certificates.filter(({ role }) => role === 'anchor')).toHaveLength(3);
    const expired = certificates.filter((row) => row.expired);
    expect(expired.map(({ fingerprint }) => fingerprint.slice(0, 16))).toContain('10ef22859b0a9812');
    expect((await cli('trust', 'ls', '--trust-file', file)).stdout).toContain('(expired)');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await json('rm', '--vendor', 'infineon')).toMatchObject(ok);
    expect((await json('ls')).certificates).toEqual([]);
    expect(readdirSync(path.dirname(file))).toEqual(['trust.json']);
  });

  it('adds files: what is not self-signed helps to build paths only, unless it is to be an anchor', async () => {
    const issuer = path.join(GCE, 'ca-certs/tpm_ek_intermediate_3.crt');
    const text = await cli('trust', 'add', issuer, '--trust-file', file);
    expect(text.stdout).toContain('no path ends at them');
    expect((await json('ls')).certificates).toMatchObject([
      { role: 'intermediate', purpose: 'ek', vendor: null },
    ]);
    await json('add', issuer, '--anchor');
    expect((await json('ls')).certificates).toMatchObject([{ role: 'anchor' }]);
  });

  it('keeps EK and AK roots apart', async () => {
    await json('add', path.join(GCE, 'ca-certs/gcp_ek_ak_ca_root.crt'), '--purpose', 'ak');
    expect((await json('ls', '--purpose', 'ek')).certificates).toEqual([]);
    const [row] = (await json('ls', '--purpose', 'ak')).certificates;
    expect(await json('rm', (row?.fingerprint ?? '').slice(0, 12), '--purpose', 'ek')).toMatchObject({
      ok: false,
      denial: { check: 'trust-store' },
    });
    const colons = (row?.fingerprint ?? '').toUpperCase().replace(/(..)(?=.)/g, '$1:');
    expect(await json('rm', colons)).toMatchObject(ok);
  });

  it('shows what is shipped and what of it is on', async () => {
    await json('add', '--vendor', 'intel');
    const { available } = await json('ls', '--available');
    expect(available.filter(({ purpose }) => (purpose as string[]).includes('ek'))).toHaveLength(2);
    expect((await cli('trust', 'ls', '--available', '--trust-file', file)).stdout).toMatch(
      / off +anchor +nuvoton /,
    );
  });

  it('refuses certificates that can’t be roots, and leaves the file as it was', async () => {
    await json('add', '--vendor', 'intel');
    const before = readFileSync(file);
    expect(await json('add', path.join(GCE, 'certificates/uca_tpm_rsa_enc_cert.pem'))).toMatchObject({
      ok: false,
      denial: { stage: 'identity', check: 'x509-not-ca' },
    });
    expect(readFileSync(file)).toEqual(before);
    expect(readdirSync(path.dirname(file))).toEqual(['trust.json']);
  });

  it('refuses a trust file that others can write, that is a link, or that was edited', async () => {
    await json('add', '--vendor', 'intel');
    chmodSync(file, 0o620);
    expect(await json('ls')).toMatchObject({
      ok: false,
      denial: { check: 'trust-file-mode', code: 'verifier-fault' },
    });
    chmodSync(file, 0o600);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('"ek"', '"xx"'));
    expect(await json('ls')).toMatchObject({ ok: false, denial: { check: 'trust-store' } });
    const link = path.join(dir, 'link.json');
    symlinkSync(file, link);
    const { stdout, exit } = await cli('trust', 'ls', '--trust-file', link, '--json');
    expect([exit, JSON.parse(stdout)]).toMatchObject([1, { denial: { check: 'trust-file-mode' } }]);
  });

  it('usage errors end with 2', async () => {
    const use = async (...argv: string[]) => (await cli('trust', ...argv, '--trust-file', file)).exit;
    expect(await use('add')).toBe(2);
    expect(await use('add', '--vendor', 'nobody')).toBe(2);
    expect(await use('add', path.join(dir, 'missing.pem'))).toBe(2);
    expect(await use('add', '--vendor', 'intel', '--purpose', 'tls')).toBe(2);
    expect(await use('rm')).toBe(2);
    expect(await use('rm', 'aabbccdd', '--vendor', 'intel')).toBe(2);
    expect(await use('rm', 'zz')).toBe(2);
    await json('add', '--vendor', 'intel');
    writeFileSync(`${file}.new`, '');
    expect(await use('add', '--vendor', 'intel')).toBe(2);
  });

  it('explains itself', async () => {
    for (const name of ['add', 'ls', 'rm']) {
      const { exit, stdout } = await cli('trust', name, '--help');
      expect([exit, stdout]).toEqual([0, expect.stringContaining('Example:')]);
    }
  });
});

describe('the default trust file', () => {
  it('follows the environment', () => {
    expect(defaultTrustFile({ SEALGATE_HOME: '/srv/sealgate' })).toBe('/srv/sealgate/trust.json');
    expect(defaultTrustFile({ XDG_CONFIG_HOME: '/x' })).toBe('/x/sealgate/trust.json');
    expect(defaultTrustFile({})).toMatch(/\/\.config\/sealgate\/trust\.json$/);
  });
});

describe('the shipped certificates', () => {
  const shipped = shippedRoots();

  it('are all there, each once, and the index names every file', () => {
    const files = readdirSync(SHARE, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.pem'),
    );
    expect(shipped).toHaveLength(files.length);
    expect(new Set(shipped.map(({ certificate }) => certificate.fingerprint)).size).toBe(shipped.length);
    const onDisk = files.map((name) =>
      new X509Certificate(readFileSync(path.join(SHARE, name))).fingerprint256
        .replaceAll(':', '')
        .toLowerCase(),
    );
    expect(new Set(onDisk)).toEqual(new Set(shipped.map(({ certificate }) => certificate.fingerprint)));
  });

  it('are authorities, and every intermediate has its anchor beside it', () => {
    for (const { vendor, role, certificate } of shipped) {
      expect(certificate.basicConstraints?.ca).toBe(true);
      if (role === 'anchor') continue;
      const issuers = shipped.filter(
        (other) => other.vendor === vendor && other.certificate.subject.text === certificate.issuer.text,
      );
      expect(
        issuers.map(({ role: of }) => of),
        certificate.subject.text,
      ).toEqual(['anchor']);
    }
  });

  it('only those of one manufacturer depart from DER, and only in one way', () => {
    const odd = shipped.filter(({ certificate }) => certificate.encodingQuirks.length > 0);
    expect(odd).toHaveLength(11);
    for (const { vendor, certificate } of odd)
      expect([vendor, certificate.encodingQuirks]).toEqual(['infineon', ['named-bits']]);
  });
});
