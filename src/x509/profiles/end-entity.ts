import { refuse } from '../../base/index.ts';
import type { Certificate } from '../certificate.ts';
import type { KeyUsage } from '../extensions.ts';
import { OID } from '../oids.ts';
import { described } from '../path-checks.ts';

/** The rules that every end-entity profile shares. */
export interface EndEntityRules {
  /** All of these must be set … */
  readonly usages: readonly KeyUsage[];
  /** … and none of these. */
  readonly forbidden: readonly KeyUsage[];
}

/** What signs may neither issue nor decrypt: one key, one purpose. */
export const NOT_FOR_SIGNERS: readonly KeyUsage[] = [
  'keyCertSign',
  'cRLSign',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
];

/** Version 3, no CA, key usage present with what is needed and without what is forbidden. */
export function checkEndEntity(leaf: Certificate, rules: EndEntityRules): void {
  if (leaf.version !== 3) refuse('x509-version', 'the certificate is not version 3', described(leaf));
  if (leaf.basicConstraints?.ca === true)
    refuse('x509-leaf-is-ca', 'the certificate is a certificate authority', described(leaf));
  const { keyUsage } = leaf;
  // A key that is named for one RSA scheme is not for the other kind of use (RFC 4055 §1.2).
  const wrongScheme = rules.usages.includes('digitalSignature') ? OID.rsaesOaep : OID.rsassaPss;
  if (leaf.publicKey.algorithm === wrongScheme) {
    refuse('x509-key-usage', 'the certificate’s key is named for another scheme', {
      ...described(leaf),
      algorithm: wrongScheme,
    });
  }
  const missing = rules.usages.filter((usage) => keyUsage?.has(usage) !== true);
  const excess = rules.forbidden.filter((usage) => keyUsage?.has(usage) === true);
  if (missing.length + excess.length > 0) {
    refuse('x509-key-usage', 'the certificate’s key usage is not that of its purpose', {
      ...described(leaf),
      keyUsage: [...(keyUsage ?? [])],
      missing,
      excess,
    });
  }
}

/** Each purpose must be named; "any purpose" is none in particular, and order means nothing. */
export function checkPurposes(leaf: Certificate, purposes: readonly string[]): void {
  const { extKeyUsage } = leaf;
  if (extKeyUsage !== undefined && purposes.every((purpose) => extKeyUsage.includes(purpose))) return;
  refuse('x509-purpose', 'the certificate is not for this purpose', {
    ...described(leaf),
    purposes: [...(extKeyUsage ?? [])],
    needed: [...purposes],
  });
}
