import type { KeyObject } from 'node:crypto';
import { LIMITS, Refusal, refuse } from '../../base/index.ts';
import type { HashName } from '../algorithms.ts';
import { akRuleViolations } from '../ak-rules.ts';
import { isOnCurve, isStrongCurve } from '../curve-point.ts';
import { keyMaterial, materialOf, publicKeyObject, rsaExponent } from '../key-object.ts';
import type { KeyMaterial } from '../key-object.ts';
import { objectName } from '../name.ts';
import { parsePublic, parsePublicIn } from '../public-area.ts';
import type { PublicArea, RsaPublic } from '../public-area.ts';
import type { VerifyingKey } from '../verify-signature.ts';
import { Checks, inForm } from './checks.ts';

/** The scheme that a key is fixed to. */
export interface KeyScheme {
  readonly name: string;
  readonly hash: HashName | null;
}

/**
 * A key that quotes are verified with: read, judged and imported once, then used for any number of quotes. What is
 * wrong with it is kept and fails each of them.
 */
export interface AttestationKey {
  /** Null for a key that came as SubjectPublicKeyInfo. */
  readonly area: PublicArea | null;
  /** Its name: nameAlg ‖ digest. */
  readonly name: Uint8Array | null;
  readonly type: PublicArea['type'];
  readonly scheme: KeyScheme | null;
  /** Null when the key failed e6: then nothing can be verified with it, which is a failure and never a pass. */
  readonly verifying: VerifyingKey | null;
  /** What e5, e6 and e7 refused. */
  readonly failures: readonly Refusal[];
}

/**
 * Imports an attestation key from its TPMT_PUBLIC: e1, e4, e5, e6, e7.
 * @throws Refusal `e1` or `e4` when it doesn't parse; what e5–e7 find is in `failures`
 */
export function importAttestationKey(publicBytes: Uint8Array): AttestationKey {
  requireBounded(publicBytes);
  return fromArea(
    inForm('e4', () => parsePublic(publicBytes)),
    publicBytes,
  );
}

/** {@link importAttestationKey} from a TPM2B_PUBLIC. */
export function importSizedAttestationKey(sizedPublic: Uint8Array): AttestationKey {
  requireBounded(sizedPublic);
  const { area, bytes } = inForm('e4', () => parsePublicIn(sizedPublic));
  return fromArea(area, bytes);
}

/**
 * A key without a TPM's public area: e4, e5, e7 and the key's half of e9 and e10 can't be made, so the signature
 * proves who signed and not that a TPM did.
 */
export function importBareKey(key: KeyObject): AttestationKey {
  const material = materialOf(key);
  const checks = new Checks();
  checks.run(() => {
    e6Material(material);
  });
  const verifying = checks.isClean() ? { key, material } : null;
  return {
    area: null,
    name: null,
    type: material.type,
    scheme: null,
    verifying,
    failures: checks.failures,
  };
}

function fromArea(area: PublicArea, bytes: Uint8Array): AttestationKey {
  const checks = new Checks();
  checks.run(() => {
    e5Attributes(area);
  });
  const verifying = checks.run(() => e6Key(area)) ?? null;
  checks.run(() => {
    e7NameAlg(area);
  });
  const name = objectName(bytes);
  return { area, name, type: area.type, scheme: schemeOf(area), verifying, failures: checks.failures };
}

/** e1: no structure is read that is larger than any TPM makes. */
function requireBounded(bytes: Uint8Array): void {
  if (bytes.length > LIMITS.tpmStructure) {
    refuse('e1', `the public area has ${String(bytes.length)} bytes, over ${String(LIMITS.tpmStructure)}`);
  }
}

/** e5: attributes and scheme are those of an attestation key, rules h. */
function e5Attributes(area: PublicArea): void {
  const violations = akRuleViolations(area);
  if (violations.length > 0) {
    refuse('e5', `not an attestation key (rules h): ${violations.join('; ')}`, { rule: 'h', violations });
  }
}

/** e6: strong enough, and a key at all. */
function e6Key(area: PublicArea): VerifyingKey {
  const material = keyMaterial(area);
  if (area.type === 'rsa') e6Modulus(area);
  e6Material(material);
  return { key: publicKeyObject(area), material };
}

/** The modulus has the size that the public area promises: what is signed is what keyBits says. */
function e6Modulus({ keyBits, modulus }: RsaPublic): void {
  if (modulus.length * 8 !== keyBits) {
    refuse('e6', `a modulus of ${String(modulus.length)} bytes for ${String(keyBits)} bits`, { keyBits });
  }
}

/** RSA of 2048 bits or more with exponent 65537, or a point on P-256, P-384 or P-521 (go-attestation #491, #509). */
function e6Material(material: KeyMaterial): void {
  if (material.type === 'ecc') {
    const { curve, x, y } = material;
    if (!isStrongCurve(curve)) refuse('e6', `the curve ${curve} is too weak`, { curve });
    if (!isOnCurve(curve, x, y)) refuse('e6', `the key is not a point of ${curve}`, { curve });
    return;
  }
  const bits = material.modulus.length * 8;
  const full = (material.modulus[0] ?? 0) >= 0x80;
  if (bits < 2048 || !full) refuse('e6', `an RSA key of ${String(bits)} bits or fewer`, { bits });
  if (rsaExponent(material) !== 65537) {
    refuse('e6', `the RSA exponent is ${String(material.exponent)}`, { exponent: material.exponent });
  }
}

/** e7: the name, which everything is pinned to, is not a SHA-1 digest. */
function e7NameAlg({ nameAlg }: PublicArea): void {
  if (nameAlg === 'sha1') refuse('e7', 'the key’s name is a SHA-1 digest', { nameAlg });
}

function schemeOf(area: PublicArea): KeyScheme | null {
  if (area.type !== 'rsa' && area.type !== 'ecc') return null;
  if (area.scheme === null) return null;
  return { name: area.scheme.name, hash: area.scheme.name === 'rsaes' ? null : area.scheme.hash };
}
