import { Refusal } from '../src/base/index.ts';
import type { JsonObject } from '../src/base/index.ts';
import { parseRc, rcText } from './rc.ts';
import type { RcLayer, ResponseCode } from './rc.ts';

/** The check ids that a response code becomes; the table of denials has a remedy for each. */
type TpmCheck =
  | 'tpm-unreachable'
  | 'tpm-failure-mode'
  | 'tpm-not-started'
  | 'tpm-lockout'
  | 'tpm-authorization'
  | 'tpm-command';

/**
 * A TPM, or a layer of tpm2-tss on the way to it, said no. A refusal, so that it reaches commands, logs and answers
 * with its own remedy.
 */
export class TpmError extends Refusal {
  /** The specification's name of the code, e.g. `TPM_RC_AUTH_FAIL`. */
  override readonly name: string;
  /** TSS2_RC, as it came. */
  readonly code: number;
  readonly layer: RcLayer;
  /** The command, e.g. `TPM2_Quote`, or what else was called. */
  readonly command: string;
  /** Number of the handle, session or parameter (1, 2, …) that the code is about, where it is about one. */
  readonly handle: number | undefined;
  readonly session: number | undefined;
  readonly parameter: number | undefined;
  /** The text of libtss2-rc. */
  readonly text: string;

  constructor(rc: ResponseCode, command: string, text: string) {
    super(checkOf(rc), reasonOf(rc, command, text), detailOf(rc, command));
    this.name = rc.name;
    this.code = rc.code;
    this.layer = rc.layer;
    this.command = command;
    this.handle = rc.handle;
    this.session = rc.session;
    this.parameter = rc.parameter;
    this.text = text;
  }
}

/** The error for a response code that is not success. */
export function tpmError(code: number, command: string): TpmError {
  return new TpmError(parseRc(code), command, rcText(code));
}

/** True for an error of the TPM itself (not of a library) with this name, e.g. `TPM_RC_PCR_CHANGED`. */
export function isTpmError(error: unknown, name: string): error is TpmError {
  return error instanceof TpmError && error.name === name;
}

const CHECKS: Readonly<Record<string, TpmCheck>> = {
  TPM_RC_FAILURE: 'tpm-failure-mode',
  TPM_RC_INITIALIZE: 'tpm-not-started',
  TPM_RC_LOCKOUT: 'tpm-lockout',
  TPM_RC_AUTH_FAIL: 'tpm-authorization',
  TPM_RC_BAD_AUTH: 'tpm-authorization',
  TPM_RC_AUTH_MISSING: 'tpm-authorization',
  TPM_RC_AUTH_UNAVAILABLE: 'tpm-authorization',
  TPM_RC_POLICY_FAIL: 'tpm-authorization',
};

function checkOf({ layer, name }: ResponseCode): TpmCheck {
  if (layer === 'tcti') return 'tpm-unreachable';
  return CHECKS[name] ?? 'tpm-command';
}

function reasonOf(rc: ResponseCode, command: string, text: string): string {
  const about = (['handle', 'session', 'parameter'] as const).find((part) => rc[part] !== undefined);
  const where = about === undefined || rc[about] === 0 ? '' : ` for ${about} ${String(rc[about])}`;
  return `${command}: ${rc.name}${where} (${text})`;
}

function detailOf(rc: ResponseCode, command: string): JsonObject {
  const { code, layer, name, handle, session, parameter } = rc;
  return {
    command,
    code: `0x${code.toString(16).padStart(3, '0')}`,
    layer,
    name,
    ...(handle === undefined ? {} : { handle }),
    ...(session === undefined ? {} : { session }),
    ...(parameter === undefined ? {} : { parameter }),
  };
}
