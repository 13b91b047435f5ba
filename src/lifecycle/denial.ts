import type { JsonObject, Refusal } from '../base/refusal.ts';

/** The lifecycle's stages (docs/ARCHITECTURE.md), in order. */
export type Stage =
  | 'request'
  | 'policy'
  | 'identity'
  | 'environment'
  | 'artifact'
  | 'authorization'
  | 'sealing'
  | 'verification'
  | 'execution'
  | 'audit'
  | 'lineage';

/** Every denial code with its HTTP status; also the RFC 9457 problem type. */
export const DENIAL_STATUS = {
  'missing-authorization': 401,
  'invalid-verification': 403,
  'expired-authorization': 403,
  'policy-mismatch': 403,
  'replay-detected': 409,
  'environment-integrity-failure': 403,
  'runtime-identity-mismatch': 403,
  'revoked-authorization': 403,
  'malformed-request': 400,
  'verifier-fault': 503,
} as const;

export type DenialCode = keyof typeof DENIAL_STATUS;

/** How a check says no: the stage that it belongs to, the code, and what a person can do about it. */
export interface DenialRule {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly remedy: string;
}

/** The same object in HTTP answers, on the command line, in the audit log and in the library. */
export interface Denial {
  readonly stage: Stage;
  readonly code: DenialCode;
  readonly check: string;
  readonly reason: string;
  readonly remedy: string;
  readonly detail: JsonObject;
}

const rule = (stage: Stage, code: DenialCode, remedy: string): DenialRule => ({ stage, code, remedy });

/** The one table: each check id that any code refuses with → stage, code, remedy. A test walks it. */
export const DENIALS: Readonly<Record<string, DenialRule>> = {
  // Form (src/base)
  malformed: rule(
    'request',
    'malformed-request',
    'Send the structure exactly as its specification encodes it.',
  ),
  internal: rule(
    'request',
    'verifier-fault',
    'Look at the message; if it is not about this machine, report a defect.',
  ),
};

/**
 * The denial that a refusal becomes. A check that the table doesn't know is a fault of this program and is denied
 * as one.
 * @param stage where the caller stands, for checks of form that can fail in any stage
 */
export function toDenial(refusal: Refusal, stage?: Stage): Denial {
  const {
    stage: ownStage,
    code,
    remedy,
  } = (Object.hasOwn(DENIALS, refusal.check) ? DENIALS[refusal.check] : undefined) ?? UNKNOWN_CHECK;
  const others = refusal.failures.map(({ check, reason }) => ({ check, reason }));
  return {
    stage: code === 'malformed-request' ? (stage ?? ownStage) : ownStage,
    code,
    check: refusal.check,
    reason: refusal.reason,
    remedy,
    detail: others.length > 1 ? { ...refusal.detail, failed: others } : refusal.detail,
  };
}

const UNKNOWN_CHECK = rule(
  'request',
  'verifier-fault',
  'Report this as a defect: the check has no entry in the table.',
);
