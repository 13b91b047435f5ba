import type { JsonObject, Refusal } from '../base/refusal.ts';

/** The lifecycle's stages (docs/ARCHITECTURE.md), in order. */
export type Stage =
  | 'request'
  | 'policy'
  | 'identity'
  | 'environment'
  | 'artifact'
  | 'authorization'
  | 'sealing'
  | 'verification'
  | 'execution'
  | 'audit'
  | 'lineage';

/** Every denial code with its HTTP status; also the RFC 9457 problem type. */
export const DENIAL_STATUS = {
  'missing-authorization': 401,
  'invalid-verification': 403,
  'expired-authorization': 403,
  'policy-mismatch': 403,
  'replay-detected': 409,
  'environment-integrity-failure': 403,
  'runtime-identity-mismatch': 403,
  'revoked-authorization': 403,
  'malformed-request': 400,
  'verifier-fault': 503,
} as const;

export type DenialCode = keyof typeof DENIAL_STATUS;

/** How a check says no: the stage that it belongs to, the code, and what a person can do about it. */
export interface DenialRule {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly remedy: string;
}

/** The same object in HTTP answers, on the command line, in the audit log and in the library. */
export interface Denial {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly check: string;
  readonly reason: string;
  readonly remedy: string;
  readonly detail: JsonObject;
}

const rule = (stage: Stage, code: DenialCode, remedy: string): DenialRule => ({ stage, code, remedy });

/** The one table: each check id that any code refuses with → stage, code, remedy. A test walks it. */
export const DENIALS: Readonly<Record<string, DenialRule>> = {
  // Form (src/base)
  malformed: rule(
    'request',
    'malformed-request',
    'Send the structure exactly as its specification encodes it.',
  ),
  internal: rule(
    'request',
    'verifier-fault',
    'Look at the message; if it is not about this machine, report a defect.',
  ),
  // Authorization artifacts and delegation (src/authorization); the names are the outcomes of the delegation rules
  'authorization-form': rule(
    'authorization',
    'malformed-request',
    'Send the authorization exactly as it was issued.',
  ),
  signature_invalid: rule(
    'authorization',
    'invalid-verification',
    'Use an artifact signed by a key of the current trust bundle.',
  ),
  par_hash_mismatch: rule(
    'authorization',
    'invalid-verification',
    'Send the whole chain, each link with its own parent.',
  ),
  depth_invalid: rule(
    'authorization',
    'policy-mismatch',
    'Delegate less deeply, or let policy raise the depth.',
  ),
  principal_altered: rule(
    'authorization',
    'runtime-identity-mismatch',
    'Ask under the origin of the parent; it never changes along a chain.',
  ),
  not_narrower: rule(
    'authorization',
    'policy-mismatch',
    'Ask for at most what the parent has, with each of its limits.',
  ),
  expired: rule('authorization', 'expired-authorization', 'Ask again; check the clocks of both sides.'),
  holder_binding_failed: rule(
    'authorization',
    'invalid-verification',
    'Prove possession of the key that the artifact names, for this request.',
  ),
  revoked: rule(
    'authorization',
    'revoked-authorization',
    'The artifact or an ancestor was revoked; the lineage says by whom.',
  ),
  status_unknown: rule(
    'authorization',
    'revoked-authorization',
    'Fetch a current status list and try again.',
  ),
  audience_mismatch: rule('authorization', 'invalid-verification', 'Ask for an artifact with this audience.'),
  scope_not_granted: rule('authorization', 'policy-mismatch', 'Ask within the scopes of the authorization.'),
  ceiling_exceeded: rule(
    'authorization',
    'policy-mismatch',
    'Stay within the limits that this relying party accepts.',
  ),
  // Certificates (src/x509)
  'x509-too-large': rule(
    'identity',
    'malformed-request',
    'Send one certificate chain within the size limits.',
  ),
  'x509-version': rule('identity', 'malformed-request', 'Use X.509 version 3 certificates.'),
  'x509-duplicate-extension': rule(
    'identity',
    'malformed-request',
    'The issuer has to issue the certificate again, with each extension once.',
  ),
  'x509-signature-algorithm': rule(
    'identity',
    'invalid-verification',
    'The certificate was altered or is broken; get it again from its issuer.',
  ),
  'x509-unsupported-algorithm': rule(
    'identity',
    'invalid-verification',
    'Use RSA, ECDSA on P-256, P-384 or P-521, or Ed25519, with SHA-2.',
  ),
  'x509-invalid-key': rule('identity', 'invalid-verification', 'Use a certificate whose key is valid.'),
  'x509-no-anchors': rule(
    'identity',
    'invalid-verification',
    'Configure roots for this purpose: sealgate trust add --vendor NAME or FILE.',
  ),
  'x509-untrusted': rule(
    'identity',
    'invalid-verification',
    'Send the missing intermediate certificates, or trust the root that issued this one.',
  ),
  'x509-self-signed': rule(
    'identity',
    'invalid-verification',
    'Use a certificate of an authority that is trusted.',
  ),
  'x509-leaf-is-anchor': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that a trust anchor issued.',
  ),
  'x509-chain-length': rule(
    'identity',
    'malformed-request',
    'Send only the certificates between the leaf and its root.',
  ),
  'x509-signature': rule(
    'identity',
    'invalid-verification',
    'The certificate was not issued by the named authority, or was altered.',
  ),
  'x509-weak-signature': rule(
    'identity',
    'invalid-verification',
    'Use certificates that are signed with SHA-2.',
  ),
  'x509-weak-key': rule('identity', 'invalid-verification', 'Use RSA keys of at least 2048 bits.'),
  'x509-key-too-large': rule('identity', 'invalid-verification', 'Use RSA keys of at most 8192 bits.'),
  'x509-expired': rule(
    'identity',
    'expired-authorization',
    'Renew the certificate; check the clocks of both sides.',
  ),
  'x509-not-yet-valid': rule(
    'identity',
    'expired-authorization',
    'Wait until the certificate is valid; check the clocks of both sides.',
  ),
  'x509-not-ca': rule(
    'identity',
    'invalid-verification',
    'Only authorities issue certificates: send the real issuer.',
  ),
  'x509-issuer-key-usage': rule(
    'identity',
    'invalid-verification',
    'The issuer needs the key usage keyCertSign; send the real issuer.',
  ),
  'x509-path-length': rule(
    'identity',
    'invalid-verification',
    'An authority in the path may not have further authorities below it.',
  ),
  'x509-issuer-purpose': rule(
    'identity',
    'invalid-verification',
    'Use a certificate of an authority that may issue for this purpose.',
  ),
  'x509-name-constraints': rule(
    'identity',
    'invalid-verification',
    'Use an authority without name constraints; they are not supported.',
  ),
  'x509-unknown-critical': rule(
    'identity',
    'invalid-verification',
    'The certificate demands something that is not supported; use another one.',
  ),
  'x509-leaf-is-ca': rule(
    'identity',
    'invalid-verification',
    'Use an end-entity certificate, not an authority’s.',
  ),
  'x509-key-usage': rule(
    'identity',
    'invalid-verification',
    'Use a certificate whose key usage fits its purpose.',
  ),
  'x509-purpose': rule(
    'identity',
    'invalid-verification',
    'Use a certificate that was issued for this purpose (extended key usage).',
  ),
  'x509-tcg-san': rule(
    'identity',
    'invalid-verification',
    'Use the TPM manufacturer’s certificate, which names manufacturer, model and version.',
  ),
  'x509-san-critical': rule(
    'identity',
    'invalid-verification',
    'With an empty subject the alternative name must be critical; get the certificate issued again.',
  ),
  'x509-roca': rule(
    'identity',
    'invalid-verification',
    'Update the TPM’s firmware and make new keys, or replace the TPM: this key can be factored.',
  ),
  'x509-ek-key': rule(
    'identity',
    'invalid-verification',
    'Use an EK of a TCG template: RSA 2048–4096 or P-256–P-521.',
  ),
  'x509-nv-content': rule(
    'identity',
    'malformed-request',
    'Read the whole NV index of the EK certificate, and nothing else.',
  ),
  'spiffe-id': rule('identity', 'malformed-request', 'Use a SPIFFE ID: spiffe://trust-domain/path.'),
  'svid-uri': rule('identity', 'invalid-verification', 'An X509-SVID has exactly one URI name.'),
  'svid-trust-domain': rule(
    'identity',
    'runtime-identity-mismatch',
    'Use an identity of the trust domain that this bundle verifies.',
  ),
  'trust-store': rule(
    'identity',
    'malformed-request',
    'Look at sealgate trust ls; restore the trust file if it was edited.',
  ),
  // Encryption to a TPM (src/tpm)
  'wrapping-key': rule(
    'sealing',
    'runtime-identity-mismatch',
    'Enroll the TPM with an EK or storage key of a standard template: restricted, decrypting, AES-CFB, SHA-2.',
  ),
  // Initiators (src/identity)
  'initiator-issuer': rule(
    'identity',
    'malformed-request',
    'Give the issuer a JWKS of public keys, each with kid and alg.',
  ),
  'initiator-signature': rule(
    'identity',
    'invalid-verification',
    'Use a token of an issuer that policy names, signed with one of its keys.',
  ),
  'initiator-claims': rule(
    'identity',
    'invalid-verification',
    'Ask the issuer for a token with sub, jti, iat, exp and aud.',
  ),
  'initiator-expired': rule('identity', 'expired-authorization', 'Get a fresh token; check the clocks.'),
  'initiator-audience': rule(
    'identity',
    'invalid-verification',
    'Ask for a token whose aud is this trust domain.',
  ),
  'initiator-bearer': rule(
    'identity',
    'missing-authorization',
    'Use a token with cnf and prove its key, or let policy mark the issuer as bearer.',
  ),
  // Requests and challenges (src/lifecycle)
  'request-form': rule(
    'request',
    'malformed-request',
    'Send the members that docs/PROTOCOL.md lists, and no others.',
  ),
  'nonce-expired': rule(
    'request',
    'expired-authorization',
    'Ask for a new challenge and answer it within its time.',
  ),
  // The log (src/audit)
  'log-tile': rule(
    'audit',
    'invalid-verification',
    'Fetch the tile again; if it stays wrong, the log is damaged: run `sealgate store check`.',
  ),
  'log-inclusion': rule(
    'audit',
    'invalid-verification',
    'Check that leaf and proof belong together and fetch the proof again; keep one that stays wrong as evidence.',
  ),
  'log-consistency': rule(
    'audit',
    'invalid-verification',
    'Keep both checkpoints: if the log can’t prove that one grew out of the other, its history was changed.',
  ),
};

/**
 * The denial that a refusal becomes. A check that the table doesn't know is a fault of this program and is denied
 * as one.
 * @param stage where the caller stands, for checks of form that can fail in any stage
 */
export function toDenial(refusal: Refusal, stage?: Stage): Denial {
  const {
    stage: ownStage,
    code,
    remedy,
  } = (Object.hasOwn(DENIALS, refusal.check) ? DENIALS[refusal.check] : undefined) ?? UNKNOWN_CHECK;
  const others = refusal.failures.map(({ check, reason }) => ({ check, reason }));
  return {
    stage: code === 'malformed-request' ? (stage ?? ownStage) : ownStage,
    code,
    check: refusal.check,
    reason: refusal.reason,
    remedy,
    detail: others.length > 1 ? { ...refusal.detail, failed: others } : refusal.detail,
  };
}

const UNKNOWN_CHECK = rule(
  'request',
  'verifier-fault',
  'Report this as a defect: the check has no entry in the table.',
);
