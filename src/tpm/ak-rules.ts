import { refuse } from '../base/index.ts';
import { digestSize } from './algorithms.ts';
import { attributeNames, objectAttributes } from './object-attributes.ts';
import type { PublicArea } from './public-area.ts';

const REQUIRED = objectAttributes('restricted', 'sign', 'fixedTPM', 'fixedParent', 'sensitiveDataOrigin');
/** They change who may use the key, not what its signatures mean. */
const ALLOWED = objectAttributes('userWithAuth', 'adminWithPolicy', 'noDA', 'stClear');

/**
 * Rules h: what makes a key an attestation key, that is, one that signs nothing but what its TPM made or checked
 * not to look so. A restricted signing key under fixedTPM and fixedParent never leaves the TPM; whether the
 * attributes are real is for activation to prove, since the credential is bound to the name and so to them.
 * @returns every rule that the public area breaks, in words; empty when it is an attestation key
 */
export function akRuleViolations(area: PublicArea): string[] {
  const { attributes } = area;
  const missing = attributeNames(REQUIRED & ~attributes).map((name) => `${name} is not set`);
  const forbidden = attributeNames((attributes & ~(REQUIRED | ALLOWED)) >>> 0).map(
    (name) => `${name} is set`,
  );
  return [...missing, ...forbidden, ...schemeViolations(area), ...policyViolations(area)];
}

/** @throws Refusal `h` naming every rule that is broken */
export function requireAkRules(area: PublicArea): void {
  const violations = akRuleViolations(area);
  if (violations.length > 0) {
    refuse('h', `not an attestation key: ${violations.join('; ')}`, { violations });
  }
}

function schemeViolations(area: PublicArea): string[] {
  if (area.type !== 'rsa' && area.type !== 'ecc') return [`a ${area.type} object does not sign quotes`];
  const violations: string[] = [];
  // A restricted key's scheme is fixed at creation (Part 2 §12.2.3.5); without one the signer would choose.
  if (area.scheme === null) violations.push('the scheme is not fixed');
  else if (!['rsassa', 'rsapss', 'ecdsa'].includes(area.scheme.name)) {
    violations.push(`the scheme is ${area.scheme.name}`);
  }
  // A symmetric algorithm belongs to storage keys; restricted sign and decrypt together can't exist.
  if (area.symmetric !== null) violations.push('a symmetric algorithm is set');
  if (area.type === 'ecc' && area.kdf !== null) violations.push('a KDF is set');
  return violations;
}

function policyViolations({ authPolicy, nameAlg }: PublicArea): string[] {
  const fits = authPolicy.length === 0 || authPolicy.length === digestSize(nameAlg);
  return fits ? [] : ['the policy is no digest of nameAlg'];
}
