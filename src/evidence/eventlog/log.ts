import type { HashName } from '../../tpm/index.ts';

/** Digests by bank, as views into the log. */
export type EventDigests = Readonly<Partial<Record<HashName, Uint8Array>>>;

/** One record. Type and data are what somebody wrote: trusted is only what a rule ties to a digest (f1, f2). */
export interface LogEvent {
  /** Position in the log; 0 is the Spec ID event of a crypto-agile log. */
  readonly index: number;
  /** 0–23, or {@link NO_PCR} in an EV_NO_ACTION that Windows wrote. */
  readonly pcr: number;
  readonly type: number;
  readonly digests: EventDigests;
  /** False when a digest that the Spec ID event declares is missing. */
  readonly complete: boolean;
  readonly data: Uint8Array;
}

export type LogFormat = 'crypto-agile' | 'sha1';

/** A parsed log: form only, nothing in it is believed yet. */
export interface EventLog {
  readonly format: LogFormat;
  /** Banks whose digests this program can replay, in the log's order. */
  readonly banks: readonly HashName[];
  /** TPM_ALG_IDs of further banks: skipped by their declared size. */
  readonly skippedBanks: readonly number[];
  readonly events: readonly LogEvent[];
}

/** PCRIndex of an EV_NO_ACTION that belongs to no PCR. */
export const NO_PCR = 0xffff_ffff;

/**
 * Firmware habits that break a rule and can be allowed by name. Nothing here is ever on by itself; who switches one
 * on accepts what its line says.
 */
export const QUIRKS = {
  /** f6: a SecureBoot variable of length 0 counts as "off" (firmware without secure boot support). */
  'empty-secure-boot-variable': 'SecureBoot of length 0 is read as off',
  /** f8: several "Calling EFI Application from Boot Option": a boot option failed and the next one was tried. */
  'multiple-boot-attempts': 'more than one boot attempt',
  /** f5: firmware that never measures a separator into some of PCR 0–6. */
  'missing-separators': 'PCR 0–6 without a separator',
  /** f9: report boot applications though no ExitBootServices event bounds them. */
  'unbounded-boot-applications': 'boot applications without ExitBootServices',
  /** (f): 0xFF up to the end of the buffer, as in a CCEL table. */
  'ccel-padding': '0xFF padding after the last event',
} as const;

export type Quirk = keyof typeof QUIRKS;
export type Quirks = ReadonlySet<Quirk>;

export const NO_QUIRKS: Quirks = new Set();
