import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { issueCertificate, randomSerial, toPem } from '../x509/index.ts';

/** The local certificate authority of emulated TPMs, DER: the issuer of EK certificates and its root. */
export interface CaCertificates {
  readonly root: Uint8Array;
  readonly issuer: Uint8Array;
}

const HOUR_MS = 3_600_000;
const VALID_MS = 10 * 365 * 24 * HOUR_MS;

/**
 * Makes a root and an issuer below it, and leaves in a directory what swtpm_localca signs with: `signkey.pem` and
 * `issuercert.pem`. Of itself it makes two RSA-3072 keys, which takes longer than everything else that a TPM needs; keys on P-256
 * take a millisecond.
 */
export async function createAuthority(directory: string): Promise<CaCertificates> {
  const [root, issuer] = [p256(), p256()];
  const rootCertificate = certify('swtpm-localca-rootca', root.publicKey, { key: root.privateKey });
  const issuerCertificate = certify('swtpm-localca', issuer.publicKey, {
    key: root.privateKey,
    certificate: rootCertificate,
  });
  const signKey = issuer.privateKey.export({ type: 'pkcs8', format: 'pem' });
  await Promise.all([
    writeFile(path.join(directory, 'signkey.pem'), signKey, { mode: 0o600 }),
    writeFile(path.join(directory, 'issuercert.pem'), toPem(issuerCertificate)),
  ]);
  return { root: rootCertificate, issuer: issuerCertificate };
}

const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

function certify(
  commonName: string,
  publicKey: KeyObject,
  issuer: { readonly key: KeyObject; readonly certificate?: Uint8Array },
): Uint8Array {
  // The machine's own time, which the tools that certify EKs below take as well.
  const now = new Date().getTime();
  return issueCertificate({
    subject: { commonName },
    publicKey,
    issuer,
    serial: randomSerial({ bytes: (length) => new Uint8Array(randomBytes(length)) }),
    notBefore: now - HOUR_MS,
    notAfter: now + VALID_MS,
    purpose: { kind: 'ca' },
  });
}
