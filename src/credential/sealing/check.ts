import { equalBytes, refuse } from '../../base/index.ts';
import {
  SEALED_ATTRIBUTES,
  encodePublic,
  objectName,
  parsePublic,
  pcrDigest,
  releaseMessage,
  sealedPolicyDigest,
} from '../../tpm/index.ts';
import type { ClockInfo, KeyedHashPublic, SealedObject, SealedPolicy } from '../../tpm/index.ts';
import { policyRefOf } from './binding.ts';
import type { SealedBinding } from './binding.ts';
import { requireHeader } from './jwe.ts';
import { isReleaseSignature, parseReleaseKey } from './release-key.ts';
import { clockDeadline, coveredBy, requireExpiration, requireSealable } from './rules.ts';
import type { QuotedPcr } from './rules.ts';
import type { ClaimedPolicy, SealedCredentials } from './sealed.ts';

/** What the host knows by itself about the release that it asked for. */
export interface OwnTerms {
  readonly binding: SealedBinding;
  /** nonceTPM of the session that is to open the object. */
  readonly nonceTpm: Uint8Array;
  /** Clock and counters of the quote that the host sent. */
  readonly quoted: Pick<ClockInfo, 'clock' | 'resetCount' | 'restartCount'>;
  /** Values that the host quoted. */
  readonly quotedPcr: QuotedPcr;
}

/**
 * Judges sealed credentials before the TPM sees them, from what the host knows by itself:
 *  - the object is sealed data that only its policy opens, importable, of the form that the protocol has;
 *  - the release key is a P-256 signing key and nothing else;
 *  - policyRef is this release's; boot, deadline and expiration are those of the host's own quote;
 *  - the selection may be sealed to, and covers only what was quoted;
 *  - authPolicy, recomputed from all that, is the object's: no weaker policy than was agreed (CVE-2020-24455);
 *  - the signature is over this session's nonce and the name of this object;
 *  - the JWE's header names this release, for the object opens only once.
 * @returns what the TPM needs to open it
 * @throws Refusal `malformed` or one of the `sealed-…` checks
 */
export function checkSealed(sealed: SealedCredentials, own: OwnTerms): SealedObject {
  const { policy: claimed, objectPublic, duplicate, encryptedSeed, signature } = sealed;
  const area = checkObject(objectPublic);
  const releaseKey = parseReleaseKey(claimed.releaseKey);
  checkClaims(claimed, own);
  const policy: SealedPolicy = {
    releaseKeyName: objectName(claimed.releaseKey),
    policyRef: claimed.policyRef,
    resetCount: claimed.resetCount,
    restartCount: claimed.restartCount,
    clockBefore: claimed.clockBefore,
    pcrSelection: claimed.pcrSelection,
    pcrDigest: pcrDigest('sha256', claimed.pcrSelection, coveredBy(own.quotedPcr)),
  };
  if (!equalBytes(area.authPolicy, sealedPolicyDigest(policy))) {
    refuse('sealed-policy', "the object's authPolicy is not the policy that was agreed");
  }
  requireHeader(sealed.jwe, own.binding);
  const { expiration } = claimed;
  const name = objectName(objectPublic);
  const terms = { nonceTpm: own.nonceTpm, expiration, objectName: name, policyRef: claimed.policyRef };
  if (!isReleaseSignature(releaseKey, releaseMessage(terms), signature)) {
    refuse('sealed-signature', 'the release signature is not for this session and object');
  }
  return {
    objectPublic,
    duplicate,
    encryptedSeed,
    releaseKey: claimed.releaseKey,
    signature,
    expiration,
    policy,
  };
}

/** Type, nameAlg, attributes and scheme must be exactly those of a sealed object; only policy and data differ. */
function checkObject(objectPublic: Uint8Array): KeyedHashPublic {
  const area = parsePublic(objectPublic);
  const { authPolicy } = area;
  if (area.type === 'keyedhash' && area.unique.length === 32 && authPolicy.length === 32) {
    const expected: KeyedHashPublic = {
      type: 'keyedhash',
      nameAlg: 'sha256',
      attributes: SEALED_ATTRIBUTES,
      authPolicy,
      scheme: null,
      unique: area.unique,
    };
    if (equalBytes(encodePublic(expected), objectPublic)) return area;
  }
  return refuse('sealed-object', 'the object is not sealed data that only its policy opens');
}

/** Each claim against the host's own value: two fields meant to be one are always compared. */
function checkClaims(claimed: ClaimedPolicy, { binding, quoted }: OwnTerms): void {
  requireExpiration(claimed.expiration);
  requireSealable(claimed.pcrSelection, binding.kind);
  if (!equalBytes(claimed.policyRef, policyRefOf(binding))) {
    refuse('sealed-policy-ref', 'policyRef names another execution or request');
  }
  if (claimed.resetCount !== quoted.resetCount || claimed.restartCount !== quoted.restartCount) {
    refuse('sealed-boot', 'the object is sealed to another boot than the one that was quoted', {
      resetCount: claimed.resetCount,
      restartCount: claimed.restartCount,
    });
  }
  if (claimed.clockBefore !== clockDeadline(quoted.clock, claimed.expiration)) {
    refuse('sealed-boot', 'the deadline is not the quoted clock and the expiration', {
      clockBefore: String(claimed.clockBefore),
    });
  }
}
