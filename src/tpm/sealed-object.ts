import { Writer } from '../base/index.ts';
import { digest } from './algorithms.ts';
import { TPM_CC } from './constants.ts';
import type { PcrSelection } from './pcr-selection.ts';
import { PolicyDigest, TIME_INFO_OFFSET, TPM_EO } from './policy-digest.ts';
import type { PolicyComparison } from './policy-digest.ts';

/**
 * The policy of one release, in the order in which it is satisfied. The object's authPolicy is
 * {@link sealedPolicyDigest} of it.
 */
export interface SealedPolicy {
  /** Name of the release key: nameAlg ‖ digest, 34 bytes. */
  readonly releaseKeyName: Uint8Array;
  /** 32 bytes: which release this is. */
  readonly policyRef: Uint8Array;
  /** The boot that was quoted: TPMS_CLOCK_INFO's resetCount and restartCount. */
  readonly resetCount: number;
  readonly restartCount: number;
  /** TPMS_CLOCK_INFO's clock must be below this, in milliseconds. */
  readonly clockBefore: bigint;
  readonly pcrSelection: PcrSelection;
  /** SHA-256 over the selected values in selection order: 32 bytes. */
  readonly pcrDigest: Uint8Array;
}

/**
 * Everything that a TPM needs to open one sealed release, once its holder has judged it. All structures are in TPM
 * wire form, without an outer TPM2B size.
 *
 * To open it, in this order (TPM 2.0 Part 3; the policy session is SHA-256, salted to the EK, and was started
 * before the verifier was asked, for the signature covers its nonceTPM):
 *  1. `TPM2_Import(parent = EK, encryptionKey = empty, objectPublic, duplicate, encryptedSeed, symmetric = NULL)`
 *     and `TPM2_Load(EK, …)`, each with the EK's own authorization (PolicySecret(endorsement) for the low range
 *     templates, userWithAuth for the high range); then flush the EK: three object slots must do;
 *  2. `TPM2_LoadExternal(releaseKey, hierarchy = NULL)`;
 *  3. `TPM2_PolicySigned(key, session, nonceTPM = the session's, cpHashA = unsealCpHash(object name),
 *     policyRef, expiration, signature)`; flush the key after the last try;
 *  4. `TPM2_PolicyCommandCode(TPM_CC_Unseal)`;
 *  5. `TPM2_PolicyCounterTimer` with each of {@link sealedComparisons}, in order;
 *  6. `TPM2_PolicyPCR(pcrDigest, pcrSelection)`: the TPM answers TPM_RC_VALUE when PCRs have other values;
 *  7. `TPM2_Unseal` with the session as authorization, continueSession clear.
 *
 * TPM_RC_PCR_CHANGED in 7 means that some PCR (IMA's PCR 10, mostly) was extended between 6 and 7:
 * `TPM2_PolicyRestart` and 3–7 again with the same signature, a bounded number of times. Every other error is final:
 * flush object, key and session.
 */
export interface SealedObject {
  /** TPMT_PUBLIC of the sealed data object. */
  readonly objectPublic: Uint8Array;
  /** Content of the TPM2B_PRIVATE that goes into TPM2_Import. */
  readonly duplicate: Uint8Array;
  /** Content of the TPM2B_ENCRYPTED_SECRET that goes into TPM2_Import. */
  readonly encryptedSeed: Uint8Array;
  /** TPMT_PUBLIC of the release key. */
  readonly releaseKey: Uint8Array;
  /** TPMT_SIGNATURE (ECDSA, SHA-256) by the release key over {@link releaseMessage}. */
  readonly signature: Uint8Array;
  /** Seconds after the session's start until which the signature holds: 1 … 120. */
  readonly expiration: number;
  readonly policy: SealedPolicy;
}

/** The two operands of PolicyCounterTimer: the quoted boot exactly, then a clock that has not run too far. */
export function sealedComparisons(
  policy: Pick<SealedPolicy, 'resetCount' | 'restartCount' | 'clockBefore'>,
): readonly [boot: PolicyComparison, clock: PolicyComparison] {
  // resetCount and restartCount are neighbours in TPMS_TIME_INFO: one operand of eight bytes covers both.
  const boot = new Writer().u32(policy.resetCount).u32(policy.restartCount).finish();
  const clock = new Writer().u64(policy.clockBefore).finish();
  return [
    { operand: boot, offset: TIME_INFO_OFFSET.resetCount, operation: TPM_EO.EQ },
    { operand: clock, offset: TIME_INFO_OFFSET.clock, operation: TPM_EO.UNSIGNED_LT },
  ];
}

/** The authPolicy of a sealed object: 32 bytes. */
export function sealedPolicyDigest(policy: SealedPolicy): Uint8Array {
  const [boot, clock] = sealedComparisons(policy);
  return PolicyDigest.start('sha256')
    .signed(policy.releaseKeyName, policy.policyRef)
    .commandCode(TPM_CC.Unseal)
    .counterTimer(boot)
    .counterTimer(clock)
    .pcr(policy.pcrSelection, policy.pcrDigest).value;
}

/** cpHash of TPM2_Unseal on one object (TPM 2.0 Part 1 §16.7): the command has no parameters. 32 bytes. */
export function unsealCpHash(objectName: Uint8Array): Uint8Array {
  return digest('sha256', new Writer().u32(TPM_CC.Unseal).bytes(objectName).finish());
}

/** What a release signs: aHash of TPM2_PolicySigned (TPM 2.0 Part 3 §23.3) for one session and one object. */
export interface ReleaseTerms {
  /** nonceTPM of the session that may open the object. */
  readonly nonceTpm: Uint8Array;
  /** Seconds, an INT32; never negative, which would ask the TPM for a reusable ticket. */
  readonly expiration: number;
  readonly objectName: Uint8Array;
  readonly policyRef: Uint8Array;
}

/** aHash before hashing: nonceTPM ‖ expiration ‖ cpHashA ‖ policyRef. ECDSA with SHA-256 signs these bytes. */
export function releaseMessage(terms: ReleaseTerms): Uint8Array {
  return new Writer()
    .bytes(terms.nonceTpm)
    .u32(terms.expiration)
    .bytes(unsealCpHash(terms.objectName))
    .bytes(terms.policyRef)
    .finish();
}
