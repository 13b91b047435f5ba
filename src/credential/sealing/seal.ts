import { refuse } from '../../base/index.ts';
import type { JsonObject, Random } from '../../base/index.ts';
import {
  makeImportBlob,
  objectName,
  pcrDigest,
  releaseMessage,
  sealedPolicyDigest,
} from '../../tpm/index.ts';
import type { ClockInfo, PcrSelection, PublicArea } from '../../tpm/index.ts';
import { policyRefOf } from './binding.ts';
import type { SealedBinding } from './binding.ts';
import { encryptCredentials } from './jwe.ts';
import { makeReleaseKey } from './release-key.ts';
import { clockDeadline, coveredBy, requireExpiration, requireSealable } from './rules.ts';
import type { QuotedPcr } from './rules.ts';
import type { SealedCredentials } from './sealed.ts';

/** For which TPM, session, boot and purpose credentials are sealed. All of it comes from verified evidence. */
export interface SealTerms {
  readonly binding: SealedBinding;
  /** The enrolled EK, or a storage key certified by an enrolled AK. */
  readonly ek: PublicArea;
  /** nonceTPM of the session that the request, and so the quote, names. */
  readonly nonceTpm: Uint8Array;
  /** Clock and counters of the verified quote. */
  readonly quoted: Pick<ClockInfo, 'clock' | 'resetCount' | 'restartCount'>;
  /** Values of the verified quote. */
  readonly quotedPcr: QuotedPcr;
  /** What to seal to; a subset of what was quoted. */
  readonly pcrSelection: PcrSelection;
  /** Seconds, 1 … 120: from the session's start for the signature, from the quoted clock for the object. */
  readonly expiration: number;
}

/**
 * Seals credentials so that one TPM opens them, once, in the one session that it quoted, before a deadline, in the
 * boot and with the PCR values that were appraised (docs/PROTOCOL.md, "Sealed credentials").
 *
 * The credentials are a JWE; its key is the sensitive part of an import blob whose policy is, in this order,
 * PolicySigned(release key, policyRef), PolicyCommandCode(Unseal), PolicyCounterTimer(boot),
 * PolicyCounterTimer(clock), PolicyPCR. The release key signs this session's nonce with this object's cpHash, once,
 * and is forgotten.
 * @param random draws the JWE's key, the release key, what the import blob draws, the JWE's IV
 * @throws Refusal `sealed-expiration`, `sealed-selection`, `sealed-nonce`, `wrapping-key`, `malformed`
 */
// eslint-disable-next-line @typescript-eslint/require-await -- a refusal must reject, not throw
export async function sealCredentials(
  credentials: JsonObject,
  terms: SealTerms,
  random: Random,
): Promise<SealedCredentials> {
  const { binding, quoted, pcrSelection, expiration, nonceTpm } = terms;
  requireExpiration(expiration);
  requireSealable(pcrSelection, binding.kind);
  requireNonce(nonceTpm);
  const policyRef = policyRefOf(binding);
  const key = random.bytes(32);
  const release = makeReleaseKey(random);
  const { resetCount, restartCount } = quoted;
  const clockBefore = clockDeadline(quoted.clock, expiration);
  const authPolicy = sealedPolicyDigest({
    releaseKeyName: objectName(release.keyPublic),
    policyRef,
    resetCount,
    restartCount,
    clockBefore,
    pcrSelection,
    pcrDigest: pcrDigest('sha256', pcrSelection, coveredBy(terms.quotedPcr)),
  });
  const { objectPublic, name, duplicate, encryptedSeed } = makeImportBlob(terms.ek, key, authPolicy, random);
  const signature = release.signOnce(releaseMessage({ nonceTpm, expiration, objectName: name, policyRef }));
  const jwe = encryptCredentials(credentials, key, binding, random);
  const policy = {
    releaseKey: release.keyPublic,
    policyRef,
    expiration,
    resetCount,
    restartCount,
    clockBefore,
    pcrSelection,
  };
  return { objectPublic, duplicate, encryptedSeed, policy, signature, jwe };
}

/**
 * An empty nonce would make the signature good for every session (TPM 2.0 Part 3 §23.3.1); a short one could be met
 * again. A session over SHA-256 has at most 32 bytes.
 */
function requireNonce(nonceTpm: Uint8Array): void {
  if (nonceTpm.length < 16 || nonceTpm.length > 32) {
    refuse('sealed-nonce', `nonceTPM has ${String(nonceTpm.length)} bytes, not 16 to 32`);
  }
}
