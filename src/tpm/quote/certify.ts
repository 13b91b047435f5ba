import { Refusal, equalBytes, refuse, toHex } from '../../base/index.ts';
import { digest } from '../algorithms.ts';
import { parseAttest } from '../attest.ts';
import type { Attest } from '../attest.ts';
import { parseCreationData } from '../creation-data.ts';
import type { CreationData } from '../creation-data.ts';
import { hasAttributes } from '../object-attributes.ts';
import { objectName, qualifiedName } from '../name.ts';
import { parsePublic } from '../public-area.ts';
import type { PublicArea } from '../public-area.ts';
import { parseSignature } from '../signature.ts';
import { importAttestationKey } from './attestation-key.ts';
import type { AttestationKey } from './attestation-key.ts';
import { Checks, inForm } from './checks.ts';
import { checkSignature } from './signature-checks.ts';

/** A TPMS_ATTEST and the TPMT_SIGNATURE over it. */
export interface SignedAttest {
  readonly attest: Uint8Array;
  readonly signature: Uint8Array;
}

/** What a certification is held against. */
export interface CertifyExpectations {
  /** The qualifyingData exactly; not empty. */
  readonly nonce: Uint8Array;
  /** TPMT_PUBLIC of the key that is said to be certified. */
  readonly subject: Uint8Array;
  /** Qualified name of its parent, or `handleName` of its hierarchy, where that is known. */
  readonly parent?: Uint8Array;
}

/**
 * Verifies TPM2_Certify: the attestation key vouches that a key with exactly this public area is in its TPM.
 * @returns the certified public area
 * @throws Refusal e1–e13 as for quotes, else `certify`
 */
export function verifyCertify(
  evidence: SignedAttest,
  key: AttestationKey,
  { nonce, subject, parent }: CertifyExpectations,
): PublicArea {
  const area = parsePublic(subject);
  const { attested, extraData } = verifySigned(evidence, key);
  if (attested.type !== 'certify') return refuse('certify', 'the signed structure is not a certification');
  if (nonce.length === 0 || !equalBytes(extraData, nonce)) {
    refuse('certify', 'the certification answers another nonce', { qualifyingData: toHex(extraData) });
  }
  const name = objectName(subject);
  if (!equalBytes(attested.name, name)) {
    refuse('certify', 'the certification is of another key', { name: toHex(attested.name) });
  }
  if (parent !== undefined && !equalBytes(attested.qualifiedName, qualifiedName(parent, name))) {
    refuse('certify', 'the certified key has another parent', {
      qualifiedName: toHex(attested.qualifiedName),
    });
  }
  return area;
}

/**
 * Verifies that something may be encrypted to a certified key: a storage key that never leaves its TPM.
 * @throws Refusal `certify`
 */
export function requireStorageKey(area: PublicArea): void {
  if (!hasAttributes(area.attributes, 'fixedTPM', 'fixedParent', 'restricted', 'decrypt')) {
    refuse('certify', 'the certified key is not a storage key that stays in its TPM');
  }
}

/** What shows how an attestation key was created. */
export interface AkCreation extends SignedAttest {
  /** TPMT_PUBLIC of the attestation key, which also signed. */
  readonly public: Uint8Array;
  /** TPMS_CREATION_DATA, without the size of a TPM2B. */
  readonly creationData: Uint8Array;
}

/** How strict {@link verifyAkCreation} is. */
export interface AkCreationOptions {
  /** The qualifyingData exactly, when one was asked for. */
  readonly nonce?: Uint8Array;
  /** Accept a signature over SHA-1, as the AKs of early Windows and cloud hosts make. Default no. */
  readonly acceptSha1?: boolean;
}

/**
 * Verifies TPM2_CertifyCreation of an attestation key by itself: a TPM created it, with this creation data.
 * @throws Refusal e1–e13 as for quotes, else `ak-creation`
 */
export function verifyAkCreation(
  creation: AkCreation,
  { nonce, acceptSha1 = false }: AkCreationOptions = {},
): CreationData {
  const key = importAttestationKey(creation.public);
  const data = parseCreationData(creation.creationData);
  const { attested, extraData } = verifySigned(creation, key, acceptSha1);
  if (attested.type !== 'creation') {
    return refuse('ak-creation', 'the signed structure is not a creation attestation');
  }
  if (nonce !== undefined && !equalBytes(extraData, nonce)) {
    refuse('ak-creation', 'the creation attestation answers another nonce');
  }
  if (key.name === null || !equalBytes(attested.objectName, key.name)) {
    refuse('ak-creation', 'the attested creation is of another key', { name: toHex(attested.objectName) });
  }
  const { nameAlg } = parsePublic(creation.public);
  if (!equalBytes(attested.creationHash, digest(nameAlg, creation.creationData))) {
    refuse('ak-creation', 'the creation data is not what was attested');
  }
  return data;
}

/** e5–e13 for any attestation: made in a TPM and signed by this key. */
function verifySigned({ attest, signature }: SignedAttest, key: AttestationKey, acceptSha1 = false): Attest {
  const parsedSignature = inForm('e8', () => parseSignature(signature));
  const parsedAttest = inForm('e20', () => parseAttest(attest)); // e13
  const checks = new Checks(key.failures);
  checkSignature(attest, key, parsedSignature, checks, acceptSha1);
  if (!checks.isClean()) throw Refusal.join(checks.failures);
  return parsedAttest;
}
