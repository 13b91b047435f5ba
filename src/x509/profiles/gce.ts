import type { Certificate } from '../certificate.ts';
import { OID } from '../oids.ts';

/**
 * True for a vTPM certificate of Google Compute Engine under an authority that issues nothing but those: the leaf
 * names its instance, and its issuer is restricted to EK certificates. The named quirks for that cloud apply only
 * here, since its EK and AK certificates have one issuer and differ in key usage alone.
 */
export function isGceVtpmCertificate(leaf: Certificate, issuers: readonly Certificate[]): boolean {
  const restricted = issuers[0]?.extKeyUsage;
  return (
    leaf.extensions.has(OID.gceInstanceIdentity) &&
    restricted?.length === 1 &&
    restricted[0] === OID.tcgEkCertificate
  );
}
