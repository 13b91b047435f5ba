import type { LeafDenial } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { DENIAL_STATUS, toDenial } from '../lifecycle/denial.ts';
import type { Denial } from '../lifecycle/denial.ts';
import { DecidedDenial } from './decided.ts';

/** What the admin API says besides the denials of the lifecycle. */
export const ADMIN_STATUS = {
  'not-permitted': 403,
  'not-found': 404,
  'method-not-allowed': 405,
  conflict: 409,
  'too-large': 413,
  'rate-limited': 429,
} as const;
export type AdminCode = keyof typeof ADMIN_STATUS;

const REMEDY: Readonly<Record<AdminCode, string>> = {
  'not-permitted': 'Ask an operator who has the role.',
  'not-found': 'Look at the id, or list what is there.',
  'method-not-allowed': 'Use one of the methods that Allow names.',
  conflict: 'Look at the state as it is now, and ask again.',
  'too-large': 'Send less, or let the operator raise the limit.',
  'rate-limited': 'Wait a minute, then ask more slowly.',
};

/** A "no" that is not about trust: of the admin API, or of the transport. */
export class AdminProblem extends Error {
  override readonly name = 'AdminProblem';
  readonly code: AdminCode;

  constructor(code: AdminCode, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** A denial with the index of its leaf, where the ledger wrote one. */
export class LoggedDenial extends Error {
  override readonly name = 'LoggedDenial';
  readonly refusal: Refusal;
  readonly auditIndex: string | undefined;

  constructor(refusal: Refusal, auditIndex: string | undefined) {
    super(refusal.message);
    this.refusal = refusal;
    this.auditIndex = auditIndex;
  }
}

/** An answer that says no (RFC 9457). */
export interface Problem {
  readonly status: number;
  readonly body: JsonObject;
  /** For metrics and logs: few values. */
  readonly stage: string;
  readonly code: string;
  readonly check: string;
  /** What a leaf tells; null for what is no question of trust. */
  readonly denial: LeafDenial | null;
  /** True when somebody should look at the verifier. */
  readonly fault: boolean;
}

/** Any error as the problem that the caller is told. What isn't a refusal is a fault, and the caller learns no more. */
export function problemOf(error: unknown, requestId: string): Problem {
  if (error instanceof DecidedDenial) return denialProblem(error.denial, requestId, error.auditIndex);
  if (error instanceof LoggedDenial)
    return denialProblem(toDenial(error.refusal), requestId, error.auditIndex);
  if (error instanceof Refusal) return denialProblem(toDenial(error), requestId);
  if (error instanceof AdminProblem) return adminProblem(error.code, error.message, requestId);
  const status = transportStatus(error);
  if (status === 413) return adminProblem('too-large', 'the body is over the limit of this route', requestId);
  if (status === 429) return adminProblem('rate-limited', 'too many requests', requestId);
  if (status === 404 || status === 405)
    return adminProblem('not-found', 'there is no such resource', requestId);
  if (status >= 400 && status < 500) {
    const reason = error instanceof Error ? error.message : 'the request is not well formed';
    return denialProblem(toDenial(new Refusal('malformed', reason)), requestId);
  }
  return denialProblem(
    toDenial(new Refusal('internal', 'an unexpected fault; nothing was released')),
    requestId,
  );
}

function denialProblem(denial: Denial, requestId: string, auditIndex?: string): Problem {
  const status = DENIAL_STATUS[denial.code];
  const body = {
    ...head(denial.code, status, requestId),
    ...denial,
    ...(auditIndex === undefined ? {} : { auditIndex }),
  };
  return {
    ...{ status, body, denial, stage: denial.stage, code: denial.code, check: denial.check },
    fault: status >= 500,
  };
}

function adminProblem(code: AdminCode, reason: string, requestId: string): Problem {
  const status = ADMIN_STATUS[code];
  const denial = { stage: 'request', code, check: code, reason, remedy: REMEDY[code], detail: {} };
  const body = { ...head(code, status, requestId), ...denial };
  return {
    status,
    body,
    stage: 'request',
    code,
    check: code,
    denial: code === 'not-permitted' ? denial : null,
    fault: false,
  };
}

const head = (code: string, status: number, requestId: string): JsonObject => ({
  type: `tag:sealgate.dev,2026:problem:${code}`,
  title: code,
  status,
  requestId,
});

/** The status that the HTTP layer gives an error of its own. */
function transportStatus(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return 500;
  return typeof error.statusCode === 'number' ? error.statusCode : 500;
}
