import { MOVED_CHECKS } from '../audit/index.ts';
import { Refusal, isJsonObject } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';

/** A denial as the verifier reported it: the lifecycle's own, or one of its admin API (`not-found`, `conflict` …). */
export interface ReportedDenial {
  readonly stage: string;
  readonly code: string;
  readonly check: string;
  readonly reason: string;
  readonly remedy: string;
  readonly detail: JsonObject;
}

/** The verifier's "no". Its check ids may be of a later version than this program. */
export class VerifierRefusal extends Refusal {
  override readonly name = 'VerifierRefusal';
  readonly denial: ReportedDenial;
  /** HTTP status. */
  readonly status: number;
  /** Index of the denial's leaf in the audit log, decimal; undefined where none was written. */
  readonly auditIndex: string | undefined;

  constructor(denial: ReportedDenial, status: number, auditIndex?: string) {
    super(denial.check, denial.reason, denial.detail);
    this.denial = denial;
    this.status = status;
    this.auditIndex = auditIndex;
  }
}

const MAX_TEXT = 4096;

/**
 * Reads an `application/problem+json` body (RFC 9457) with the denial's members. Other members are ignored, as the RFC
 * asks; undefined when it isn't one of ours.
 */
export function readProblem(body: JsonObject, status: number): VerifierRefusal | undefined {
  const word = (name: string): string | undefined => {
    const value = body[name];
    return typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT ? value : undefined;
  };
  const { detail, auditIndex } = body;
  const [stage, code, check, reason, remedy] = ['stage', 'code', 'check', 'reason', 'remedy'].map(word);
  if (stage === undefined || code === undefined || check === undefined || reason === undefined)
    return undefined;
  const denial = {
    stage,
    code,
    check,
    reason,
    remedy: remedy ?? '',
    detail: isJsonObject(detail) ? detail : {},
  };
  const index =
    typeof auditIndex === 'string' && /^(?:0|[1-9]\d{0,19})$/.test(auditIndex) ? auditIndex : undefined;
  return new VerifierRefusal(denial, status, index);
}

const MOVED: ReadonlySet<string> = new Set(MOVED_CHECKS);

/**
 * True for a denial that only says that something which the decision rests on moved while it was made (PROTOCOL 8): a new
 * request is judged by what is true then.
 */
export const movedMeanwhile = (error: unknown): boolean =>
  error instanceof VerifierRefusal && MOVED.has(error.check);
