import { refuse } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import type { Certificate } from './certificate.ts';
import { OID, oidName } from './oids.ts';
import { signatureHolds } from './signature.ts';
import { publicKeyOf } from './spki.ts';

/** A weakness that a caller may accept by name; each one that was needed is reported with the result. */
export type PathQuirk = 'sha1-signature';

/** RSA bounds: below is weak, above only costs the verifier time (SPIRE 1.13.4). */
const RSA_BITS = { min: 2048, max: 8192 } as const;

/** Extensions whose meaning this validator applies; any other critical one refuses (RFC 5280 §4.2). */
const PROCESSED: ReadonlySet<string> = new Set([
  OID.basicConstraints,
  OID.keyUsage,
  OID.extKeyUsage,
  OID.subjectAltName,
  OID.authorityKeyIdentifier,
  OID.subjectKeyIdentifier,
  // With no policy asked for, every policy is acceptable (RFC 5280 §6.1.1 (c)); policyConstraints isn't processed.
  OID.certificatePolicies,
]);

/** What a refusal says about the certificate that it is about. */
export function described(certificate: Certificate): JsonObject {
  return { subject: certificate.subject.text, fingerprint: certificate.fingerprint };
}

/** RFC 5280 §4.1.2.5: both ends belong to the validity. @param now Unix time in milliseconds */
export function checkValidity(certificate: Certificate, now: number): void {
  const { notBefore, notAfter } = certificate;
  if (now < notBefore)
    refuse('x509-not-yet-valid', 'a certificate of the path is not valid yet', times(certificate, now));
  // notAfter names a whole second.
  if (now >= notAfter + 1000)
    refuse('x509-expired', 'a certificate of the path has expired', times(certificate, now));
}

/** Written out for a refusal only: a decision looks at several paths. */
const times = (certificate: Certificate, now: number): JsonObject => ({
  ...described(certificate),
  notBefore: new Date(certificate.notBefore).toISOString(),
  notAfter: new Date(certificate.notAfter).toISOString(),
  now: new Date(now).toISOString(),
});

/** No extension may ask for something that isn't done (RFC 5280 §4.2). */
export function checkExtensions(certificate: Certificate): void {
  if (certificate.extensions.has(OID.nameConstraints)) {
    refuse('x509-name-constraints', 'name constraints are not supported', described(certificate));
  }
  for (const { oid, critical } of certificate.extensions.values()) {
    if (critical && !PROCESSED.has(oid)) {
      refuse('x509-unknown-critical', `critical extension ${oidName(oid)} is not understood`, {
        ...described(certificate),
        oid,
      });
    }
  }
}

/** Key sizes, both ways, before any operation with the key. */
export function checkKeyStrength(certificate: Certificate): void {
  const { key } = certificate.publicKey;
  if (key.type !== 'rsa') return;
  const detail = { ...described(certificate), bits: key.bits };
  if (key.bits < RSA_BITS.min) refuse('x509-weak-key', `RSA key of ${String(key.bits)} bits`, detail);
  if (key.bits > RSA_BITS.max) refuse('x509-key-too-large', `RSA key of ${String(key.bits)} bits`, detail);
  if (key.exponent < 3n || key.exponent % 2n === 0n || key.exponent > 0xffff_ffffn) {
    refuse('x509-weak-key', `RSA exponent ${String(key.exponent)}`, detail);
  }
}

/**
 * What an issuer needs (RFC 5280 §6.1.4 (k)–(n)): version 3, CA, keyCertSign, path length.
 * @param below number of non-self-issued CA certificates between this one and the leaf
 * @param isAnchor a root that an operator trusts may leave its key usage out, as `openssl req -x509` does
 */
export function checkIssuer(certificate: Certificate, below: number, isAnchor = false): void {
  const { basicConstraints, keyUsage } = certificate;
  if (certificate.version !== 3 || basicConstraints?.ca !== true) {
    refuse('x509-not-ca', 'an issuer in the path is not a certificate authority', described(certificate));
  }
  const signs = keyUsage === undefined ? isAnchor : keyUsage.has('keyCertSign');
  if (!signs) {
    refuse(
      'x509-issuer-key-usage',
      'an issuer in the path may not sign certificates',
      described(certificate),
    );
  }
  const { pathLength } = basicConstraints;
  if (pathLength !== undefined && below > pathLength) {
    refuse(
      'x509-path-length',
      `${String(below)} authorities below one that allows ${String(pathLength)}`,
      described(certificate),
    );
  }
}

/** An issuer that names purposes must name the leaf's: it can't hand on what it doesn't have. */
export function checkIssuerPurpose(certificate: Certificate, purposes: readonly string[]): void {
  const { extKeyUsage } = certificate;
  if (extKeyUsage === undefined || extKeyUsage.includes(OID.anyExtendedKeyUsage)) return;
  if (purposes.some((purpose) => extKeyUsage.includes(purpose))) return;
  refuse('x509-issuer-purpose', 'an issuer in the path is restricted to other purposes', {
    ...described(certificate),
    purposes: extKeyUsage,
  });
}

/** Verifies `certificate`'s signature by `issuer`'s key. @returns the quirk that was needed, if any */
export function checkSignature(
  certificate: Certificate,
  issuer: Certificate,
  quirks: ReadonlySet<PathQuirk>,
): PathQuirk | undefined {
  const { signatureAlgorithm } = certificate;
  const weak = signatureAlgorithm.hash === 'sha1';
  if (weak && !quirks.has('sha1-signature')) {
    refuse('x509-weak-signature', 'a certificate of the path is signed with SHA-1', described(certificate));
  }
  // RFC 4055 §1.2: a key that is named for RSASSA-PSS signs nothing else, one for RSAES-OAEP nothing at all.
  const { algorithm } = issuer.publicKey;
  const onlyPss = algorithm === OID.rsassaPss && signatureAlgorithm.scheme !== 'rsassa-pss';
  if (
    onlyPss ||
    algorithm === OID.rsaesOaep ||
    !signatureHolds(signatureAlgorithm, publicKeyOf(issuer.publicKey), certificate.tbs, certificate.signature)
  ) {
    refuse('x509-signature', 'a signature in the path is not by its issuer', {
      ...described(certificate),
      issuer: issuer.fingerprint,
    });
  }
  return weak ? 'sha1-signature' : undefined;
}
