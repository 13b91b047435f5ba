import type { HashName } from '../../tpm/index.ts';

/** An event whose digest is all that is known: Authenticode digest of an image, digest of a file or of a blob. */
export interface Measurement {
  readonly pcr: number;
  /** Among the events of this PCR, from 0. The order inside a PCR is proven, the index in the log is not. */
  readonly position: number;
  /** Lowercase hex by bank. */
  readonly digests: Readonly<Partial<Record<HashName, string>>>;
}

export interface SecureBootState {
  /** The firmware's SecureBoot variable is 1, with PK, KEK and db present and at least one authority used (f6). */
  readonly enabled: boolean;
  /** Enabled, and shim's MokSBState didn't switch validation off (f12). */
  readonly enforced: boolean;
}

/** PK, KEK, db or dbx: SHA-256 of each certificate's DER, SHA-256 digests as they are, how many of other kinds. */
export interface SignatureDatabaseFacts {
  readonly certificates: readonly { readonly sha256: string; readonly owner: string }[];
  readonly hashes: readonly string[];
  readonly others: number;
}

/** An entry that allowed an image to run (EV_EFI_VARIABLE_AUTHORITY). */
export interface AuthorityFacts {
  /** Where the entry came from, e.g. `db`, `MokListRT`, `Shim`. */
  readonly variable: string;
  readonly guid: string;
  /** SHA-256 of the certificate's DER, the digest itself, or that of any other value. `state`: a setting of shim. */
  readonly sha256: string;
  readonly kind: 'certificate' | 'hash' | 'state' | 'other';
}

export interface BootVariableFacts {
  /** `Boot####`; left out where the firmware measures only the variable's value. */
  readonly name?: string;
  readonly active: boolean;
  readonly description: string;
  readonly devicePath: string;
}

/** A PE section that systemd-stub measured; its name is bound by the digest before the content's. */
export interface SectionFacts extends Measurement {
  readonly name: string;
}

/**
 * What an event log says, each member from data that a digest covers; a member whose PCR breaks a rule (or, in
 * {@link VerifiedFacts}, isn't quoted and matching) is left out. No member depends on an event's type, on a label or on
 * a path: nothing covers these.
 */
export interface EventLogFacts {
  /** The PCRs of 0–7 that are closed by exactly one separator (f5). */
  readonly separators?: readonly number[];
  /** PCR 0. `versions`: texts that it proves, the S-CRTM version first; `measurements`: everything before the OS. */
  readonly firmware?: { readonly versions: readonly string[]; readonly measurements: readonly Measurement[] };
  /** PCR 1: numbers of Boot#### variables in the order tried. */
  readonly bootOrder?: readonly string[];
  readonly bootVariables?: readonly BootVariableFacts[];
  /** PCR 2: drivers and applications from option ROMs. */
  readonly drivers?: readonly Measurement[];
  /** PCR 4: Authenticode digests of *all* images started; only when ExitBootServices was seen (f9). */
  readonly bootApplications?: readonly Measurement[];
  /** PCR 5: the firmware's ExitBootServices event. */
  readonly exitBootServices?: boolean;
  readonly secureBoot?: SecureBootState;
  readonly platformKey?: SignatureDatabaseFacts;
  readonly keyExchangeKeys?: SignatureDatabaseFacts;
  readonly db?: SignatureDatabaseFacts;
  readonly dbx?: SignatureDatabaseFacts;
  readonly authorities?: readonly AuthorityFacts[];
  /** PCR 7: always false where present; a debugger breaks f6 and takes every fact of PCR 7 away. */
  readonly uefiDebugMode?: boolean;
  readonly dmaProtectionDisabled?: boolean;
  /** shim's SBAT revocation level as measured, e.g. `sbat,1,2023012900\nshim,2\n`. */
  readonly sbatLevel?: string;
  /** PCR 8: GRUB's commands in order. */
  readonly grubCommands?: readonly string[];
  /** PCR 8 or 12: distinct command lines handed to a kernel; empty when none was measured. */
  readonly kernelCommandLine?: readonly string[];
  /** PCR 9: digests of everything GRUB read and the kernel's stub loaded: configuration, kernel, initrd. */
  readonly bootFiles?: readonly Measurement[];
  /** PCR 11: sections of a unified kernel image. */
  readonly unifiedKernelImage?: { readonly sections: readonly SectionFacts[] };
  /** PCR 12 and 13: command lines, credentials, extensions handed to systemd-stub. */
  readonly stubParameters?: readonly Measurement[];
  readonly systemExtensions?: readonly Measurement[];
  /** PCR 14: shim's MOK variables in its order. */
  readonly mok?: readonly Measurement[];
}

export type FactName = keyof EventLogFacts;

/** The PCRs whose events a fact is made from: all must be sound (and, when verified, quoted and matching). */
export const FACT_PCRS: Readonly<Record<FactName, readonly number[]>> = {
  separators: [],
  firmware: [0],
  bootOrder: [1],
  bootVariables: [1],
  drivers: [2],
  bootApplications: [4, 5],
  exitBootServices: [5],
  secureBoot: [7],
  platformKey: [7],
  keyExchangeKeys: [7],
  db: [7],
  dbx: [7],
  authorities: [7],
  uefiDebugMode: [7],
  dmaProtectionDisabled: [7],
  sbatLevel: [7],
  grubCommands: [8],
  // Also 11 and 12 when the log has events for them, or no command line at all: see interpretEventLog.
  kernelCommandLine: [8],
  bootFiles: [9],
  unifiedKernelImage: [11],
  stubParameters: [12],
  systemExtensions: [13],
  mok: [14],
};

declare const CLAIMED: unique symbol;
declare const VERIFIED: unique symbol;

/** Facts of a log that nobody has compared with a quote: fit for showing and learning, not for policy. */
export type ClaimedFacts = EventLogFacts & { readonly [CLAIMED]: true };

/** Facts from PCRs that a verified quote confirms; only `verifyEventLog` makes them. */
export type VerifiedFacts = EventLogFacts & { readonly [VERIFIED]: true };
