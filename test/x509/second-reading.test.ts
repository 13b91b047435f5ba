import { describe, expect, it } from 'vitest';
import { parseCertificate } from '../../src/x509/index.ts';
import type { Certificate } from '../../src/x509/index.ts';
import { requireSameReading } from '../../src/x509/second-reading.ts';
import { expectRefusal } from '../support/refusals.ts';
import { dataFile } from '../support/vectors.ts';

const certificate = parseCertificate(dataFile('swtpm-certificates/generated/ekcert_ecc384.der'));
const other = parseCertificate(dataFile('swtpm-certificates/generated/ekcert_rsa.der'));
const [extension] = [...certificate.extensions.values()];

describe('a second reading', () => {
  it('agrees on certificates as they are', () => {
    requireSameReading(certificate);
    requireSameReading(other);
  });

  it.each<[string, Partial<Certificate>]>([
    ['serial', { serial: other.serial }],
    ['subject', { subject: other.issuer }],
    ['issuer', { issuer: { ...certificate.issuer, raw: Uint8Array.of(0x30, 0x00) } }],
    ['notBefore', { notBefore: certificate.notBefore + 1000 }],
    ['notAfter', { notAfter: certificate.notAfter + 1000 }],
    ['public key', { publicKey: other.publicKey }],
    ['number of extensions', { extensions: new Map() }],
    [
      'extension',
      {
        extensions: new Map(
          [...certificate.extensions].map(([oid, one]) => [
            oid,
            one === extension ? { ...one, critical: !one.critical } : one,
          ]),
        ),
      },
    ],
    [
      'extension',
      {
        extensions: new Map(
          [...certificate.extensions].map(([oid, one]) => [
            oid,
            one === extension ? { ...one, value: Uint8Array.of(5, 0) } : one,
          ]),
        ),
      },
    ],
  ])('refuses another %s', (what, change) => {
    const refusal = expectRefusal('x509-second-reading', () => {
      requireSameReading({ ...certificate, ...change });
    });
    expect(refusal.reason).toContain(what);
  });

  it('refuses what the other parser can’t read', () => {
    expectRefusal('x509-second-reading', () => {
      requireSameReading({ ...certificate, raw: Uint8Array.of(0x30, 0x03, 0x02, 0x01, 0x00) });
    });
  });
});
