import { canonicalJson, refuse, toBase64url, utf8 } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { digest } from '../../tpm/index.ts';

/** The first release of an execution's credentials. */
export interface ReleaseBinding {
  readonly kind: 'release';
  /** UUIDv7, lowercase. */
  readonly executionId: string;
  /** SHA-256(JCS(request)): 32 bytes. */
  readonly requestDigest: Uint8Array;
  /** The authorization artifact that the credentials belong to. */
  readonly jti: string;
}

/** All credentials that one host attestation renews: a session opens one object only. */
export interface RenewalBinding {
  readonly kind: 'renewal';
  /** SHA-256(JCS(request)) of the attestation: 32 bytes. */
  readonly requestDigest: Uint8Array;
  /** The renewed authorizations, in the order of the request's executions. */
  readonly authorizations: readonly { readonly executionId: string; readonly jti: string }[];
}

/** What sealed credentials are for. Both sides derive policyRef and the JWE's header from it, never from each other. */
export type SealedBinding = ReleaseBinding | RenewalBinding;

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/**
 * policyRef of the release key's PolicySigned: which release this is, 32 bytes. A release names its execution, a
 * renewal the attestation request; the labels keep one from passing for the other.
 * @throws Refusal `malformed` when an id or digest has another form
 */
export function policyRefOf(binding: SealedBinding): Uint8Array {
  requireDigest(binding.requestDigest);
  if (binding.kind === 'renewal') {
    binding.authorizations.forEach(({ executionId }) => {
      requireExecutionId(executionId);
    });
    return digest('sha256', utf8('sealgate/renewal/v1\0'), binding.requestDigest);
  }
  requireExecutionId(binding.executionId);
  return digest('sha256', utf8('sealgate/release/v1\0'), utf8(binding.executionId));
}

/** The JWE's protected header, exactly: authenticated with the ciphertext, so credentials can't change executions. */
export function protectedHeader(binding: SealedBinding): JsonObject {
  const common = { alg: 'dir', enc: 'A256GCM', requestDigest: toBase64url(binding.requestDigest) };
  return binding.kind === 'release'
    ? { ...common, typ: 'sealgate-release+jwe', executionId: binding.executionId, jti: binding.jti }
    : {
        ...common,
        typ: 'sealgate-renewal+jwe',
        authorizations: binding.authorizations.map(({ executionId, jti }) => ({ executionId, jti })),
      };
}

/** True when a decoded header is the one of this binding: no member more, less or other. */
export function isHeaderOf(header: JsonObject, binding: SealedBinding): boolean {
  return canonicalJson(header) === canonicalJson(protectedHeader(binding));
}

function requireExecutionId(executionId: string): void {
  if (!UUID_V7.test(executionId))
    refuse('malformed', 'executionId: not a UUIDv7', { structure: 'executionId' });
}

function requireDigest(requestDigest: Uint8Array): void {
  if (requestDigest.length !== 32) {
    refuse('malformed', `requestDigest: ${String(requestDigest.length)} bytes`, {
      structure: 'requestDigest',
    });
  }
}
