import type { JsonObject, JsonValue } from '../base/index.ts';
import { Refusal } from '../base/index.ts';

/** What a reference value is about; each is an entry of the table of denials. */
export type AppraisalCheckId =
  | 'tpm-manufacturer'
  | 'tpm-firmware'
  | 'pcr-value'
  | 'secure-boot'
  | 'command-line'
  | 'boot-application'
  | 'boot-driver'
  | 'boot-file'
  | 'uki-section'
  | 'stub-parameter'
  | 'system-extension'
  | 'mok'
  | 'firmware-measurement'
  | 'grub-command'
  | 'boot-authority'
  | 'key-database'
  | 'dbx'
  | 'sbat-level'
  | 'ima-file'
  | 'ima-denied'
  | 'ima-violation'
  | 'ima-key'
  | 'ima-policy'
  | 'ima-kexec'
  | 'ima-run'
  | 'lockdown'
  | 'gateway-measured';

/** The trust claims of AR4SI that appraisal of a TPM host sets (draft-ietf-rats-ar4si). */
export type TrustClaim =
  | 'instance-identity'
  | 'configuration'
  | 'executables'
  | 'file-system'
  | 'hardware'
  | 'storage-opaque'
  | 'sourced-data';

/** One comparison of a fact with reference values. */
export interface AppraisalCheck {
  readonly id: AppraisalCheckId;
  readonly ok: boolean;
  readonly expected: JsonValue;
  readonly got: JsonValue;
  /** Index of the log's event, or of the list's entry, where there is one. */
  readonly event?: number;
  /** Why not, for people. */
  readonly reason?: string;
  /** What it says about the host: the claim, and its value when the check fails. */
  readonly claim: TrustClaim;
  readonly failed: TrustValue;
}

/** Values of AR4SI that a failed check gives: 32 unsafe, 33 unrecognized, 36 unavailable, 96 contraindicated, 97 not recognized. */
export type TrustValue = 32 | 33 | 36 | 96 | 97;

/** What a check is about, without its outcome. */
type Subject = Pick<AppraisalCheck, 'id' | 'claim' | 'failed'>;

export const pass = (subject: Subject, expected: JsonValue, got: JsonValue): AppraisalCheck => ({
  ...subject,
  ok: true,
  expected,
  got,
});

export function miss(
  subject: Subject,
  reason: string,
  expected: JsonValue,
  got: JsonValue,
  event?: number,
): AppraisalCheck {
  return { ...subject, ok: false, expected, got, reason, ...(event === undefined ? {} : { event }) };
}

/** A failed check as a refusal. The host may see it: `expected` stays in the appraisal, for operators. */
export function checkRefusal({ id, reason, got, event }: AppraisalCheck): Refusal {
  const detail: JsonObject = { got, ...(event === undefined ? {} : { event }) };
  return new Refusal(id, reason ?? 'the value is not one that is allowed', detail);
}
