import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseCms } from '../../src/artifact/cms.ts';
import type { CmsFile } from '../../src/artifact/cms.ts';
import { requireSameReading } from '../../src/artifact/second-reading.ts';
import { expectRefusal } from '../support/refusals.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'sealgate-cms-'));
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});
const at = (name: string): string => path.join(folder, name);
const openssl = (...argv: string[]): void => {
  execFileSync('openssl', argv, { cwd: folder, stdio: 'ignore' });
};
openssl(
  'req',
  '-x509',
  '-newkey',
  'ec',
  '-pkeyopt',
  'ec_paramgen_curve:P-256',
  '-nodes',
  '-keyout',
  'k.pem',
  '-out',
  'c.pem',
  '-subj',
  '/CN=signer',
);
writeFileSync(at('f'), 'content');
openssl(
  'cms',
  '-sign',
  '-binary',
  '-in',
  'f',
  '-signer',
  'c.pem',
  '-inkey',
  'k.pem',
  '-outform',
  'DER',
  '-out',
  'f.p7s',
  '-md',
  'sha256',
);
const der = new Uint8Array(readFileSync(at('f.p7s')));
const parsed = parseCms(der, 1);
const [signer] = parsed.signatures;
if (signer === undefined) throw new Error('openssl signed');

describe('a second reading of CMS', () => {
  it('agrees on what openssl wrote', () => {
    requireSameReading(der, parsed);
    expect(parsed.certificates).toHaveLength(1);
  });

  it.each<[string, CmsFile]>([
    ['number of certificates', { ...parsed, certificates: [] }],
    ['certificate', { ...parsed, certificates: [Uint8Array.of(0x30, 0)] }],
    ['number of signers', { ...parsed, signatures: [...parsed.signatures, signer] }],
    ['signature', { ...parsed, signatures: [{ ...signer, signature: Uint8Array.of(1) }] }],
  ])('refuses another %s', (what, file) => {
    const refusal = expectRefusal('cms-second-reading', () => {
      requireSameReading(der, file);
    });
    expect(refusal.reason).toContain(what);
  });

  it('refuses what the other parser can’t read', () => {
    expectRefusal('cms-second-reading', () => {
      requireSameReading(Uint8Array.of(0x30, 0), parsed);
    });
  });
});
