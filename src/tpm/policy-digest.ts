import { Writer } from '../base/index.ts';
import { digest, digestSize } from './algorithms.ts';
import type { HashName } from './algorithms.ts';
import { TPM_CC } from './constants.ts';
import { PCR_COUNT, encodePcrSelection } from './pcr-selection.ts';
import type { PcrSelection } from './pcr-selection.ts';

/** TPM_EO: how PolicyNV and PolicyCounterTimer compare (TPM 2.0 Part 2 §6.8); operand A is the TPM's own value. */
export const TPM_EO = {
  EQ: 0,
  NEQ: 1,
  SIGNED_GT: 2,
  UNSIGNED_GT: 3,
  SIGNED_LT: 4,
  UNSIGNED_LT: 5,
  SIGNED_GE: 6,
  UNSIGNED_GE: 7,
  SIGNED_LE: 8,
  UNSIGNED_LE: 9,
  BITSET: 10,
  BITCLEAR: 11,
} as const;

/** Offsets into TPMS_TIME_INFO (TPM 2.0 Part 2 §10.11.6), which PolicyCounterTimer compares with an operand. */
export const TIME_INFO_OFFSET = { time: 0, clock: 8, resetCount: 16, restartCount: 20, safe: 24 } as const;

/** What PolicyNV and PolicyCounterTimer compare. */
export interface PolicyComparison {
  /** At most the size of the hash that the policy is computed with (TPM2B_OPERAND). */
  readonly operand: Uint8Array;
  /** First byte of operand A, in the NV index or in TPMS_TIME_INFO. */
  readonly offset: number;
  /** One of {@link TPM_EO}. */
  readonly operation: number;
}

/**
 * A policyDigest as TPM 2.0 Part 3 §23 computes it, without a TPM. Immutable: each assertion gives a new value, so
 * that `PolicyDigest.start('sha256').secret(endorsement).pcr(…)` reads in the order in which the TPM runs it.
 * The hash is that of the policy session, which must be the nameAlg of the object that the policy authorizes.
 */
export class PolicyDigest {
  readonly hash: HashName;
  readonly #value: Uint8Array;

  private constructor(hash: HashName, value: Uint8Array) {
    this.hash = hash;
    this.#value = value;
  }

  /** The digest of a session before its first assertion: all zero. */
  static start(hash: HashName): PolicyDigest {
    return new PolicyDigest(hash, new Uint8Array(digestSize(hash)));
  }

  /** A digest known from elsewhere, e.g. a branch of a PolicyOR. @throws RangeError on another length */
  static of(hash: HashName, value: Uint8Array): PolicyDigest {
    if (value.length !== digestSize(hash))
      throw new RangeError(`policy digest of ${String(value.length)} bytes`);
    return new PolicyDigest(hash, new Uint8Array(value));
  }

  /**
   * PolicyOR (§23.6): any of 2 to 8 branches. It replaces what came before, which the TPM requires to be one of the
   * branches.
   */
  static or(branches: readonly [PolicyDigest, PolicyDigest, ...PolicyDigest[]]): PolicyDigest {
    const [first] = branches;
    if (branches.length > 8 || branches.some(({ hash }) => hash !== first.hash)) {
      throw new RangeError('PolicyOR takes 2 to 8 digests of one algorithm');
    }
    return PolicyDigest.start(first.hash).#extend(TPM_CC.PolicyOR, ...branches.map(({ value }) => value));
  }

  /**
   * PolicyAuthorize (§23.16): whatever policy the holder of a key signs. Resets what came before.
   * @param keyName name of the key that signs approved policies
   */
  static authorize(hash: HashName, keyName: Uint8Array, policyRef: Uint8Array = EMPTY): PolicyDigest {
    return PolicyDigest.start(hash).#update(TPM_CC.PolicyAuthorize, keyName, policyRef);
  }

  /** PolicyAuthorizeNV (§23.22): whatever policy an NV index holds. Resets what came before. */
  static authorizeNv(hash: HashName, nvName: Uint8Array): PolicyDigest {
    return PolicyDigest.start(hash).#extend(TPM_CC.PolicyAuthorizeNV, nvName);
  }

  /** The digest's bytes: what goes into an authPolicy. */
  get value(): Uint8Array {
    return new Uint8Array(this.#value);
  }

  /**
   * PolicyPCR (§23.7): the selected PCRs have values with this digest.
   * @param pcrDigest over the values in selection order, by this policy's hash
   * @throws RangeError for a selection that a TPM would read as another one, or as none: no bank or PCR at all (the
   *   assertion would always hold), an index over 23 (the TPM leaves out what it doesn't have), a repeated bank, or
   *   indexes that don't ascend (the digest would be over another order)
   */
  pcr(selection: PcrSelection, pcrDigest: Uint8Array): PolicyDigest {
    if (pcrDigest.length !== digestSize(this.hash)) {
      throw new RangeError(`pcrDigest of ${String(pcrDigest.length)} bytes`);
    }
    if (!isExactSelection(selection)) throw new RangeError('not a PCR selection for a policy');
    return this.#extend(TPM_CC.PolicyPCR, encodePcrSelection(selection), pcrDigest);
  }

  /** PolicyCounterTimer (§23.10): a comparison with TPMS_TIME_INFO at the time of the assertion. */
  counterTimer(comparison: PolicyComparison): PolicyDigest {
    return this.#extend(TPM_CC.PolicyCounterTimer, this.#comparisonDigest(comparison));
  }

  /** PolicyNV (§23.9): a comparison with the contents of an NV index. */
  nv(nvName: Uint8Array, comparison: PolicyComparison): PolicyDigest {
    return this.#extend(TPM_CC.PolicyNV, this.#comparisonDigest(comparison), nvName);
  }

  /** PolicySecret (§23.4): the authValue of an entity is known. */
  secret(entityName: Uint8Array, policyRef: Uint8Array = EMPTY): PolicyDigest {
    return this.#update(TPM_CC.PolicySecret, entityName, policyRef);
  }

  /** PolicySigned (§23.3): a key signs this session's nonce, expiration, cpHash and policyRef. */
  signed(keyName: Uint8Array, policyRef: Uint8Array = EMPTY): PolicyDigest {
    return this.#update(TPM_CC.PolicySigned, keyName, policyRef);
  }

  /** PolicyCommandCode (§23.11): only this command. */
  commandCode(code: number): PolicyDigest {
    return this.#extend(TPM_CC.PolicyCommandCode, u32(code));
  }

  /** PolicyAuthValue and PolicyPassword (§23.17, §23.18), whose digests are equal by design. */
  authValue(): PolicyDigest {
    return this.#extend(TPM_CC.PolicyAuthValue);
  }

  /**
   * PolicyDuplicationSelect (§23.15): duplication to one new parent only.
   * @param objectName names the object too, when given; else any object with this policy
   */
  duplicationSelect(newParentName: Uint8Array, objectName?: Uint8Array): PolicyDigest {
    const include = Uint8Array.of(objectName === undefined ? 0 : 1);
    return this.#extend(TPM_CC.PolicyDuplicationSelect, objectName ?? EMPTY, newParentName, include);
  }

  /** P = H(P ‖ commandCode ‖ arguments). */
  #extend(code: number, ...parts: readonly Uint8Array[]): PolicyDigest {
    return new PolicyDigest(this.hash, digest(this.hash, this.#value, u32(code), ...parts));
  }

  /** PolicyUpdate (§23.2.3): the name first, then a second hash over policyRef, also when that is empty. */
  #update(code: number, name: Uint8Array, policyRef: Uint8Array): PolicyDigest {
    const named = this.#extend(code, name);
    return new PolicyDigest(this.hash, digest(this.hash, named.#value, policyRef));
  }

  #comparisonDigest({ operand, offset, operation }: PolicyComparison): Uint8Array {
    if (operand.length > digestSize(this.hash))
      throw new RangeError('policy operand is over the digest size');
    return digest(this.hash, new Writer().bytes(operand).u16(offset).u16(operation).finish());
  }
}

const EMPTY = new Uint8Array(0);

function u32(value: number): Uint8Array {
  return new Writer().u32(value).finish();
}

/** True when the selection means the same to every TPM that has its banks. */
function isExactSelection(selection: PcrSelection): boolean {
  const banks = new Set(selection.map(({ bank }) => bank));
  return (
    selection.length > 0 &&
    banks.size === selection.length &&
    selection.every(
      ({ pcrs, sizeofSelect }) =>
        pcrs.length > 0 &&
        (sizeofSelect === undefined || sizeofSelect === 3) &&
        pcrs.every(
          (index, at) => Number.isInteger(index) && index > (pcrs[at - 1] ?? -1) && index < PCR_COUNT,
        ),
    )
  );
}
