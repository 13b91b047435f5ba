import { createRequire } from 'node:module';
import type * as Peculiar from '@peculiar/x509';
import { equalBytes, fromHex, refuse } from '../base/index.ts';
import type { Certificate } from './certificate.ts';

/**
 * Reads a certificate a second time, with @peculiar/x509, and compares everything that a path is judged by: serial,
 * names, validity, key, and each extension with its critical flag. Two parsers that understand one file in two ways are
 * how certificates have been smuggled past verifiers; what they disagree about is refused.
 * @throws Refusal `x509-second-reading`
 */
export function requireSameReading(certificate: Certificate): void {
  const other = read(certificate);
  const differs = (what: string): never =>
    refuse('x509-second-reading', `two parsers read another ${what} in the certificate`, {
      fingerprint: certificate.fingerprint,
      what,
    });
  if (!equalBytes(unsigned(fromHex(certificate.serial)), unsigned(fromHex(even(other.serialNumber)))))
    differs('serial');
  if (!equalBytes(certificate.subject.raw, new Uint8Array(other.subjectName.toArrayBuffer())))
    differs('subject');
  if (!equalBytes(certificate.issuer.raw, new Uint8Array(other.issuerName.toArrayBuffer())))
    differs('issuer');
  if (certificate.notBefore !== other.notBefore.getTime()) differs('notBefore');
  if (certificate.notAfter !== other.notAfter.getTime()) differs('notAfter');
  if (!equalBytes(certificate.publicKey.der, new Uint8Array(other.publicKey.rawData))) differs('public key');
  if (certificate.extensions.size !== other.extensions.length) differs('number of extensions');
  for (const { type, critical, value } of other.extensions) {
    const own = certificate.extensions.get(type);
    if (own?.critical !== critical || !equalBytes(own.value, new Uint8Array(value)))
      differs(`extension ${type}`);
  }
}

/**
 * SHA-256 of certificates that both parsers read alike. Whether they do is a function of these very bytes, and the same
 * authorities and clients come with every request.
 */
const agreed = new Set<string>();
const MAX_AGREED = 4096;

/**
 * {@link requireSameReading}, once for the same bytes.
 * @param certificate as `parseCertificate` made it
 */
export function requireAgreement(certificate: Certificate): void {
  const { fingerprint } = certificate;
  if (agreed.has(fingerprint)) return;
  requireSameReading(certificate);
  // The oldest goes first: who sends many certificates costs others a second reading, no more.
  if (agreed.size >= MAX_AGREED) for (const oldest of agreed) if (agreed.delete(oldest)) break;
  agreed.add(fingerprint);
}

let peculiar: typeof Peculiar | undefined;

/** Two hundred files: loaded with the first certificate that is read again, not before a program can do anything. */
function secondParser(): typeof Peculiar {
  if (peculiar !== undefined) return peculiar;
  const require = createRequire(import.meta.url);
  // Its classes are registered through decorators, which need this before.
  require('reflect-metadata');
  return (peculiar = require('@peculiar/x509') as typeof Peculiar);
}

function read({ raw, fingerprint }: Certificate): Peculiar.X509Certificate {
  // Outside of what is caught: a parser that isn't there is no unreadable certificate.
  const { X509Certificate } = secondParser();
  try {
    return new X509Certificate(Uint8Array.from(raw));
  } catch {
    return refuse('x509-second-reading', 'a second parser can’t read the certificate', { fingerprint });
  }
}

const even = (hex: string): string => (hex.length % 2 === 0 ? hex : `0${hex}`);

/** A serial without the sign octet and leading zeros, which the two parsers print differently. */
function unsigned(serial: Uint8Array): Uint8Array {
  const first = serial.findIndex((byte) => byte !== 0);
  return first === -1 ? new Uint8Array() : serial.slice(first);
}
