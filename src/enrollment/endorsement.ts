import type { Certificate, TpmIdentity } from '../x509/index.ts';
import { ekProfile, isRocaWeak, parseEkCertificate, verifyPath } from '../x509/index.ts';
import { fromBase64url, refuse } from '../base/index.ts';
import {
  TPM_RH,
  handleName,
  hostId,
  matchEkTemplate,
  objectName,
  parsePublicIn,
  qualifiedName,
} from '../tpm/index.ts';
import type { EkTemplateName, PublicArea } from '../tpm/index.ts';
import type { EnrollmentRequest } from './request.ts';

/** The manufacturer roots that an operator switched on, and what was revoked since. */
export interface EkTrust {
  readonly anchors: readonly Certificate[];
  readonly pool: readonly Certificate[];
  /** Fingerprints of authorities that are no longer believed. */
  readonly revoked: ReadonlySet<string>;
}

/** An EK that a template made: nobody has said yet that it is a TPM's. */
export interface ClaimedEk {
  readonly area: PublicArea;
  /** TPMT_PUBLIC as received. */
  readonly publicBytes: Uint8Array;
  readonly template: EkTemplateName;
  readonly hostId: string;
  /** TPM name, and qualified name as a primary object of the endorsement hierarchy. */
  readonly name: Uint8Array;
  readonly qualifiedName: Uint8Array;
}

/** An EK that a template made, and who says that it is a TPM's. */
export interface JudgedEk extends ClaimedEk {
  /** Null when there was none: then only an operator's list says that this is a TPM. */
  readonly certificate: {
    readonly fingerprint: string;
    readonly root: string;
    /** Fingerprints of the authorities between the EK certificate and the root. */
    readonly issuers: readonly string[];
    readonly tpm: TpmIdentity | null;
    readonly quirks: readonly string[];
  } | null;
}

/**
 * An endorsement key by itself, before any signature is looked at: its public area is a template's byte for byte, so that
 * encrypting to it is safe whoever sent it.
 * @throws Refusal `enroll-ek`, `malformed`
 */
export function claimedEk(request: EnrollmentRequest): ClaimedEk {
  const { area, bytes } = parsePublicIn(fromBase64url(request.ekPublic, 'ekPublic'));
  const template =
    matchEkTemplate(bytes) ??
    refuse('enroll-ek', 'the endorsement key is not what an EK template makes: attributes, policy or cipher');
  // ROCA (CVE-2017-15361): without a certificate nobody else looks at the modulus.
  if (area.type === 'rsa' && isRocaWeak(area.modulus, area.keyBits))
    refuse('enroll-ek', 'the endorsement key is a weak key of CVE-2017-15361 (ROCA) and can be factored');
  const name = objectName(bytes);
  return {
    area,
    publicBytes: bytes,
    template: template.name,
    hostId: hostId(area),
    name,
    qualifiedName: qualifiedName(handleName(TPM_RH.ENDORSEMENT), name),
  };
}

/**
 * The key with its certificate, where there is one: for exactly this key, and to a root that is switched on.
 * @param now Unix ms
 * @throws Refusal `enroll-ek-key`, `enroll-ek-authority`, `x509-…`
 */
export function endorse(request: EnrollmentRequest, ek: ClaimedEk, trust: EkTrust, now: number): JudgedEk {
  const certificate =
    request.ekCertificate === undefined ? null : judgeCertificate(request, ek.hostId, trust, now);
  return { ...ek, certificate };
}

function judgeCertificate(
  { ekCertificate = '', ekChain = [] }: EnrollmentRequest,
  id: string,
  trust: EkTrust,
  now: number,
): JudgedEk['certificate'] {
  const leaf = parseEkCertificate(fromBase64url(ekCertificate, 'ekCertificate'));
  // A genuine certificate beside somebody else's key: two fields that must be one key (CVE-2022-1053).
  if (leaf.publicKey.keyId !== id)
    refuse('enroll-ek-key', 'the EK certificate is for another key than the endorsement key', {
      certificate: leaf.fingerprint,
    });
  const intermediates = ekChain.map((der) => parseEkCertificate(fromBase64url(der, 'ekChain')));
  const { anchors, pool, revoked } = trust;
  const path = verifyPath({ leaf, intermediates, pool, anchors, now, profile: ekProfile() });
  const gone = path.chain.find(({ fingerprint }) => revoked.has(fingerprint));
  if (gone !== undefined)
    refuse('enroll-ek-authority', 'an authority of the EK certificate was revoked', {
      authority: gone.fingerprint,
    });
  return {
    fingerprint: leaf.fingerprint,
    root: path.anchor.fingerprint,
    issuers: path.chain.slice(1, -1).map(({ fingerprint }) => fingerprint),
    tpm: path.findings.tpm ?? null,
    quirks: [...path.quirks, ...path.findings.quirks],
  };
}
