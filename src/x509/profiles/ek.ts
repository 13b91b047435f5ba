import { refuse } from '../../base/index.ts';
import { parseCertificate } from '../certificate.ts';
import type { Certificate } from '../certificate.ts';
import type { KeyUsage } from '../extensions.ts';
import { OID } from '../oids.ts';
import { described } from '../path-checks.ts';
import type { LeafProfile } from '../path.ts';
import { isRocaWeak } from '../roca.ts';
import { readTpmIdentity } from '../tcg-attributes.ts';
import type { TpmIdentity } from '../tcg-attributes.ts';
import { checkEndEntity, checkPurposes } from './end-entity.ts';
import { isGceVtpmCertificate } from './gce.ts';

/** Departures of one vendor's EK certificates from the TCG profile. */
export type EkQuirk =
  /** Google's "private CA" series has neither an extended key usage nor TPM attributes. */
  'gce-private-ca';

/** Names of the EK templates of the TCG EK Credential Profile. */
export type EkTemplateName = 'L-1' | 'L-2' | 'H-1' | 'H-2' | 'H-3' | 'H-4' | 'H-6' | 'H-7';

/** What is known about a TPM from its EK certificate. */
export interface EkFindings {
  /** Undefined only under a quirk. */
  readonly tpm: TpmIdentity | undefined;
  /** Templates that make a key of this type; the EK public decides which one it is. */
  readonly templates: readonly EkTemplateName[];
  readonly quirks: readonly EkQuirk[];
}

/**
 * Parses an EK certificate (DER, exact length; see `fromNv` for what an NV index holds). One departure from DER is
 * tolerated by name: `named-bits`, trailing zero bits in KeyUsage, which Infineon's authorities write.
 */
export function parseEkCertificate(bytes: Uint8Array): Certificate {
  return parseCertificate(bytes, { encodingQuirks: ['named-bits'] });
}

/** An EK decrypts and nothing else; AK certificates that carry the EK purpose are told apart by this. */
const FORBIDDEN: readonly KeyUsage[] = ['digitalSignature', 'nonRepudiation', 'keyCertSign', 'cRLSign'];

/**
 * EK certificate (TCG EK Credential Profile §3): end entity, key usage of a decryption key, purpose
 * tcg-kp-EKCertificate, TPM attributes in the alternative name, a key that a template makes and that isn't ROCA-weak.
 */
export function ekProfile(quirks: Iterable<EkQuirk> = ['gce-private-ca']): LeafProfile<EkFindings> {
  const allowed = new Set(quirks);
  return {
    issuerPurposes: () => [OID.tcgEkCertificate],
    check: (leaf, issuers) => {
      const templates = checkKey(leaf);
      checkEndEntity(leaf, {
        usages: [leaf.publicKey.key.type === 'rsa' ? 'keyEncipherment' : 'keyAgreement'],
        forbidden: FORBIDDEN,
      });
      const gce =
        leaf.extKeyUsage === undefined &&
        allowed.has('gce-private-ca') &&
        isGceVtpmCertificate(leaf, issuers);
      if (!gce) checkPurposes(leaf, [OID.tcgEkCertificate]);
      const tpm = readTpmIdentity(leaf);
      if (!gce) checkAttributes(leaf, tpm);
      return { tpm, templates, quirks: gce ? ['gce-private-ca'] : [] };
    },
  };
}

function checkAttributes(leaf: Certificate, tpm: TpmIdentity | undefined): void {
  if (tpm === undefined)
    refuse('x509-tcg-san', 'the certificate names no TPM manufacturer, model and version', described(leaf));
  // With an empty subject, the alternative name is the only name and must be understood (RFC 5280 §4.2.1.6).
  const critical = leaf.extensions.get(OID.subjectAltName)?.critical === true;
  if (leaf.subject.rdns.length === 0 && !critical) {
    refuse(
      'x509-san-critical',
      'the subject is empty and the alternative name is not critical',
      described(leaf),
    );
  }
}

function checkKey(leaf: Certificate): readonly EkTemplateName[] {
  const { key } = leaf.publicKey;
  if (key.type === 'rsa' && isRocaWeak(key.modulus, key.bits)) {
    refuse('x509-roca', 'the EK is a weak key of CVE-2017-15361 (ROCA) and can be factored', described(leaf));
  }
  const size = key.type === 'rsa' ? key.bits : key.type === 'ec' ? key.curve : key.type;
  return (
    TEMPLATES[String(size)] ??
    refuse('x509-ek-key', `no EK template makes a key of ${key.type} ${String(size)}`, described(leaf))
  );
}

const TEMPLATES: Readonly<Record<string, readonly EkTemplateName[]>> = {
  2048: ['L-1', 'H-1'],
  3072: ['H-6'],
  4096: ['H-7'],
  'P-256': ['L-2', 'H-2'],
  'P-384': ['H-3'],
  'P-521': ['H-4'],
};
