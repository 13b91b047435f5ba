import type { CommandName, Parameters } from './command-table.ts';

/** An ESYS_TR: ESAPI's own number for a TPM entity. */
export type EsysHandle = number;

/** ESYS_TR constants (tss2_esys.h). PCR n is n. */
export const ESYS_TR = {
  NONE: 0xfff,
  PASSWORD: 0x0ff,
  OWNER: 0x101,
  NULL: 0x107,
  LOCKOUT: 0x10a,
  ENDORSEMENT: 0x10b,
  PLATFORM: 0x10c,
} as const;

/** A session as a command uses it. */
export interface SessionUse {
  readonly esys: EsysHandle;
  /** True when it was started with a symmetric algorithm: then it encrypts first parameters. */
  readonly encrypts: boolean;
  /** False to let the TPM end the session with this command. */
  readonly continueSession: boolean;
  /** Called after each command that succeeded with it. */
  readonly used?: () => void;
}

/** Something in the TPM or in ESAPI that must be given back. */
export interface Releasable {
  flush(): Promise<void>;
}

/** What a command is called with. */
export interface Call<N extends CommandName> {
  readonly handles?: readonly EsysHandle[];
  /** For each handle that needs authorization one, in order; then further ones. At most three. */
  readonly sessions?: readonly SessionUse[];
  readonly in: Parameters<N>;
  readonly signal?: AbortSignal | undefined;
}

/** A plain password authorization with the entity's authValue; free of secrets only when that is empty. */
export const PASSWORD: SessionUse = { esys: ESYS_TR.PASSWORD, encrypts: false, continueSession: true };
