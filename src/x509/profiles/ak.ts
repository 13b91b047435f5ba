import { OID } from '../oids.ts';
import type { LeafProfile } from '../path.ts';
import { readTpmIdentity } from '../tcg-attributes.ts';
import type { TpmIdentity } from '../tcg-attributes.ts';
import { NOT_FOR_SIGNERS, checkEndEntity, checkPurposes } from './end-entity.ts';
import { isGceVtpmCertificate } from './gce.ts';

/** Departures of one vendor's AK certificates from the TCG profile. */
export type AkQuirk =
  /** Google's AK certificates carry the EK purpose or none; key usage tells them from EK certificates. */
  'gce-ak-purpose';

/** What an AK certificate says. */
export interface AkFindings {
  readonly tpm: TpmIdentity | undefined;
  readonly quirks: readonly AkQuirk[];
}

/**
 * AK certificate (TCG Credential Profiles "AIK certificate"): end entity, digitalSignature and nothing that decrypts
 * or issues, purpose tcg-kp-AIKCertificate. Its roots are configured for this purpose alone.
 */
export function akProfile(quirks: Iterable<AkQuirk> = ['gce-ak-purpose']): LeafProfile<AkFindings> {
  const allowed = new Set(quirks);
  return {
    issuerPurposes: (leaf) => [
      leaf.extKeyUsage?.includes(OID.tcgAkCertificate) === true ? OID.tcgAkCertificate : OID.tcgEkCertificate,
    ],
    check: (leaf, issuers) => {
      checkEndEntity(leaf, { usages: ['digitalSignature'], forbidden: NOT_FOR_SIGNERS });
      const gce =
        leaf.extKeyUsage?.includes(OID.tcgAkCertificate) !== true &&
        allowed.has('gce-ak-purpose') &&
        isGceVtpmCertificate(leaf, issuers);
      if (!gce) checkPurposes(leaf, [OID.tcgAkCertificate]);
      return { tpm: readTpmIdentity(leaf), quirks: gce ? ['gce-ak-purpose'] : [] };
    },
  };
}
