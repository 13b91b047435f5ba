import { equalBytes, fromHex } from '../base/index.ts';
import type { HashName } from './algorithms.ts';
import { curveSize } from './curves.ts';
import type { CurveName } from './curves.ts';
import type { KeyMaterial } from './key-object.ts';
import { objectAttributes } from './object-attributes.ts';
import { encodePublic, parsePublic } from './public-area.ts';
import type { PublicArea } from './public-area.ts';
import type { Symmetric } from './schemes.ts';

/**
 * The EK templates of the TCG EK Credential Profile (2.5, Annex B): low range L-1 and L-2, high range H-1 … H-7.
 * H-5 (SM2) is left out.
 */
export type EkTemplateName = 'L-1' | 'L-2' | 'H-1' | 'H-2' | 'H-3' | 'H-4' | 'H-6' | 'H-7';

/** A template and where a TPM keeps the certificate of the EK that is made with it. */
export interface EkTemplate {
  readonly name: EkTemplateName;
  /** The public area with the template's own `unique`: what TPM2_CreatePrimary takes. */
  readonly public: PublicArea;
  /** NV index of the EK certificate. */
  readonly certificateIndex: number;
  /**
   * NV indexes of the manufacturer's own nonce and template, low range only: where one is defined, the EK of the
   * certificate was made with what lies there (EK Credential Profile 2.2.1.4).
   */
  readonly alteredBy: readonly number[];
}

/** fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt. */
const LOW_ATTRIBUTES = objectAttributes(
  'fixedTPM',
  'fixedParent',
  'sensitiveDataOrigin',
  'adminWithPolicy',
  'restricted',
  'decrypt',
);
/** The high range's can also be used with their (empty) authValue. */
const HIGH_ATTRIBUTES = LOW_ATTRIBUTES | objectAttributes('userWithAuth');

/** PolicyA: PolicySecret(TPM_RH_ENDORSEMENT). PolicyB: PolicyOR of it and PolicyC, the policy of an NV index. */
const POLICY_A_SHA256 = fromHex('837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa');
const POLICY_B: Readonly<Partial<Record<HashName, Uint8Array>>> = {
  sha256: fromHex('ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0'),
  sha384: fromHex(
    'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12',
  ),
  sha512: fromHex(
    'b8221ca69e8550a4914de3faa6a18c072cc01208073a928d5d66d59ef79e49a429c41a6b269571d57edb25fbdb1838425608b413cd616a5f6db5b6071af99bea',
  ),
};

const aesCfb = (keyBits: 128 | 256): Symmetric => ({ algorithm: 'aes', keyBits, mode: 'cfb' });

function rsa(keyBits: number, nameAlg: HashName, attributes: number, unique: Uint8Array): PublicArea {
  return { type: 'rsa', ...storageKey(nameAlg, attributes), keyBits, exponent: 0, modulus: unique };
}

function ecc(curve: CurveName, nameAlg: HashName, attributes: number, unique: Uint8Array): PublicArea {
  return { type: 'ecc', ...storageKey(nameAlg, attributes), curve, kdf: null, x: unique, y: unique };
}

/** What EKs of both types have alike. */
function storageKey(nameAlg: HashName, attributes: number) {
  const symmetric = aesCfb(nameAlg === 'sha256' ? 128 : 256);
  return { nameAlg, attributes, authPolicy: policyOf(nameAlg, attributes), symmetric, scheme: null } as const;
}

function policyOf(nameAlg: HashName, attributes: number): Uint8Array {
  const policy = attributes === LOW_ATTRIBUTES ? POLICY_A_SHA256 : POLICY_B[nameAlg];
  if (policy === undefined) throw new RangeError(`no EK policy for ${nameAlg}`);
  return policy;
}

const EMPTY = new Uint8Array(0);

/** Every template, in the order in which a host's EKs are looked for. */
export const EK_TEMPLATES: readonly EkTemplate[] = [
  template(
    'L-1',
    0x01c00002,
    rsa(2048, 'sha256', LOW_ATTRIBUTES, new Uint8Array(256)),
    [0x01c00003, 0x01c00004],
  ),
  template(
    'L-2',
    0x01c0000a,
    ecc('P-256', 'sha256', LOW_ATTRIBUTES, new Uint8Array(32)),
    [0x01c0000b, 0x01c0000c],
  ),
  template('H-1', 0x01c00012, rsa(2048, 'sha256', HIGH_ATTRIBUTES, EMPTY)),
  template('H-2', 0x01c00014, ecc('P-256', 'sha256', HIGH_ATTRIBUTES, EMPTY)),
  template('H-3', 0x01c00016, ecc('P-384', 'sha384', HIGH_ATTRIBUTES, EMPTY)),
  template('H-4', 0x01c00018, ecc('P-521', 'sha512', HIGH_ATTRIBUTES, EMPTY)),
  template('H-6', 0x01c0001c, rsa(3072, 'sha384', HIGH_ATTRIBUTES, EMPTY)),
  template('H-7', 0x01c0001e, rsa(4096, 'sha384', HIGH_ATTRIBUTES, EMPTY)),
];

function template(
  name: EkTemplateName,
  certificateIndex: number,
  area: PublicArea,
  alteredBy: readonly number[] = [],
): EkTemplate {
  return { name, certificateIndex, public: area, alteredBy };
}

/**
 * The template that an EK's public area was made with: all of it but `unique` must be the template's, byte for byte.
 * Without this an EK could come with userWithAuth, unrestricted or with a weaker cipher. The name of the real EK is
 * fixed by template and unique, so encrypting to a match is safe even when the host lies.
 * @param publicBytes TPMT_PUBLIC
 * @returns undefined when no template matches
 * @throws Refusal `malformed`
 */
export function matchEkTemplate(publicBytes: Uint8Array): EkTemplate | undefined {
  const area = parsePublic(publicBytes);
  return EK_TEMPLATES.find((candidate) => {
    const rebuilt = withUniqueOf(candidate.public, area);
    return rebuilt !== undefined && equalBytes(encodePublic(rebuilt), publicBytes);
  });
}

/**
 * The public area of the EK that a template gives for a key, e.g. the one in an EK certificate.
 * @throws RangeError when the key isn't of the template's kind and size
 */
export function ekPublic({ name, public: area }: EkTemplate, key: KeyMaterial): PublicArea {
  if (area.type === 'rsa' && key.type === 'rsa' && key.exponent === 65537) {
    if (key.modulus.length * 8 === area.keyBits) return { ...area, modulus: key.modulus };
  }
  if (area.type === 'ecc' && key.type === 'ecc' && key.curve === area.curve) {
    return { ...area, x: key.x, y: key.y };
  }
  throw new RangeError(`the key is not one of template ${name}`);
}

/** The template with the unique of a key of the same type and size; undefined for other keys. */
function withUniqueOf(area: PublicArea, key: PublicArea): PublicArea | undefined {
  if (area.type === 'rsa' && key.type === 'rsa' && key.modulus.length * 8 === area.keyBits) {
    return { ...area, modulus: key.modulus };
  }
  // Coordinates of EKs have the field's length (EK Credential Profile B.4.4).
  const size = area.type === 'ecc' ? curveSize(area.curve) : 0;
  if (area.type === 'ecc' && key.type === 'ecc' && key.x.length === size && key.y.length === size) {
    return { ...area, x: key.x, y: key.y };
  }
  return undefined;
}
