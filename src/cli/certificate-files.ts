import { LIMITS } from '../base/index.ts';
import { fromNv, isPem, parseCertificate, parsePem } from '../x509/index.ts';
import type { Certificate } from '../x509/index.ts';
import { readInput } from './input.ts';

/** The most certificates that one file with roots may hold. */
const MAX_CERTIFICATES = 256;

/** A certificate file as it was found. */
export interface CertificateFile {
  readonly encoding: 'pem' | 'der' | 'nv';
  /** DER of each certificate, exact length; never empty. */
  readonly certificates: readonly Uint8Array[];
}

/** Reads certificates in PEM, or one in DER, alone or as an NV index holds it (wrapper, padding). */
export function readCertificateFile(file: string, max = MAX_CERTIFICATES): CertificateFile {
  const bytes = readInput(file, 'certificate', max * 2 * LIMITS.certificate);
  if (isPem(bytes)) return { encoding: 'pem', certificates: parsePem(bytes, max) };
  const { der, wrapped, padding } = fromNv(bytes);
  return { encoding: wrapped || padding > 0 ? 'nv' : 'der', certificates: [der] };
}

/** The certificates of several files, parsed. */
export function readCertificates(files: readonly string[]): readonly Certificate[] {
  return files.flatMap((file) => readCertificateFile(file).certificates.map((der) => parseCertificate(der)));
}
