import { fromBase64url, refuse, shape, toBase64url } from '../../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../../base/index.ts';
import { formatPcrSelection, parsePcrSelectionText } from '../../tpm/index.ts';
import type { PcrSelection } from '../../tpm/index.ts';
import { MAX_JWE } from './jwe.ts';
import { MAX_EXPIRATION } from './rules.ts';

/**
 * Sealed credentials as they travel. TPM structures are in wire form without an outer TPM2B size. Nothing in it is
 * secret without the TPM, and nothing in it is believed before `checkSealed`.
 */
export interface SealedCredentials {
  /** TPMT_PUBLIC of the sealed data object. */
  readonly objectPublic: Uint8Array;
  /** Content of the duplicate's TPM2B_PRIVATE. */
  readonly duplicate: Uint8Array;
  /** Content of the TPM2B_ENCRYPTED_SECRET. */
  readonly encryptedSeed: Uint8Array;
  readonly policy: ClaimedPolicy;
  /** TPMT_SIGNATURE by the release key. */
  readonly signature: Uint8Array;
  /** Compact JWE of the credentials. */
  readonly jwe: string;
}

/** What the verifier says the object's policy is; the host recomputes it. */
export interface ClaimedPolicy {
  /** TPMT_PUBLIC. */
  readonly releaseKey: Uint8Array;
  readonly policyRef: Uint8Array;
  /** Seconds, 1 … 120. */
  readonly expiration: number;
  readonly resetCount: number;
  readonly restartCount: number;
  /** Milliseconds of TPMS_CLOCK_INFO. */
  readonly clockBefore: bigint;
  readonly pcrSelection: PcrSelection;
}

/** The JSON form, member `sealed` of an answer (docs/PROTOCOL.md). */
export function encodeSealed(sealed: SealedCredentials): JsonObject {
  const { policy } = sealed;
  return {
    v: 1,
    public: toBase64url(sealed.objectPublic),
    duplicate: toBase64url(sealed.duplicate),
    encryptedSeed: toBase64url(sealed.encryptedSeed),
    policy: {
      releaseKey: toBase64url(policy.releaseKey),
      policyRef: toBase64url(policy.policyRef),
      expiration: policy.expiration,
      resetCount: policy.resetCount,
      restartCount: policy.restartCount,
      clockBefore: String(policy.clockBefore),
      pcrSelection: formatPcrSelection(policy.pcrSelection),
    },
    signature: toBase64url(sealed.signature),
    jwe: sealed.jwe,
  };
}

/**
 * Reads the JSON form: a closed object, every member of its type and size. Encoding the result gives an equal object.
 * @throws Refusal `malformed` with the member
 */
export function parseSealed(value: JsonValue): SealedCredentials {
  const {
    public: objectPublic,
    duplicate,
    encryptedSeed,
    policy,
    signature,
    jwe,
  } = sealedShape(value, 'sealed', fail);
  return { objectPublic, duplicate, encryptedSeed, policy, signature, jwe };
}

const fail: Fail = (path, want) =>
  refuse('malformed', `${path} is not ${want}`, { structure: 'sealed', member: path });

/** base64url of 1 to `max` bytes. */
function bytes(max: number): Shape<Uint8Array> {
  const encoded = shape.base64url(Math.ceil((max * 4) / 3));
  return (value, path, no) => fromBase64url(encoded(value, path, no), path);
}

const u32 = shape.integer(0, 0xffff_ffff);

const u64: Shape<bigint> = (value, path, no) => {
  const number = BigInt(shape.decimal(value, path, no));
  return number <= 0xffff_ffff_ffff_ffffn ? number : no(path, 'an unsigned 64-bit number');
};

/** `sha256:0,1+sha384:7` in the one form that this program writes: ascending, no `all`. */
const pcrSelection: Shape<PcrSelection> = (value, path, no) => {
  const written = shape.text({ max: 512 })(value, path, no);
  const selection = parsePcrSelectionText(written);
  return formatPcrSelection(selection) === written
    ? selection
    : no(path, 'a PCR selection in canonical form');
};

const sealedShape = shape.object({
  v: shape.literal(1),
  public: bytes(256),
  duplicate: bytes(512),
  encryptedSeed: bytes(512),
  policy: shape.object({
    releaseKey: bytes(256),
    policyRef: bytes(32),
    expiration: shape.integer(1, MAX_EXPIRATION),
    resetCount: u32,
    restartCount: u32,
    clockBefore: u64,
    pcrSelection,
  }),
  signature: bytes(128),
  jwe: shape.text({
    max: MAX_JWE,
    pattern: /^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+$/,
    want: 'a compact JWE with direct encryption',
  }),
});
