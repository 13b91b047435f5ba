/** A value that can be shown as JSON: the only thing a refusal's detail may hold. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;

/** A JSON object; members are readonly since details are shared between log, answer and audit. */
export interface JsonObject {
  readonly [name: string]: JsonValue;
}

/** A refusal as data. */
export interface PlainRefusal {
  readonly check: string;
  readonly reason: string;
  readonly detail: JsonObject;
}

/**
 * The typed "no" of the pure layers: which check said it, why, and the values that explain it.
 *
 * `check` is an id (e1 … e25 for quotes, f1 … f13 for event logs, h for AK attributes) or a name, as the `ima-…` checks
 * that are e26 together have; `src/lifecycle/denial.ts` maps each one to stage, code, HTTP status and remedy. `detail` never holds secrets: it reaches logs, answers and the audit log.
 */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly check: string;
  readonly reason: string;
  readonly detail: JsonObject;
  /** Every check that failed in the same stage, this one first; never empty. */
  readonly failures: readonly Refusal[];

  constructor(check: string, reason: string, detail: JsonObject = {}, others: readonly Refusal[] = []) {
    super(`${check}: ${reason}`);
    this.check = check;
    this.reason = reason;
    this.detail = detail;
    this.failures = [this, ...others];
  }

  /** The refusal as data, for another thread or process. */
  plain(): PlainRefusal {
    return { check: this.check, reason: this.reason, detail: this.detail };
  }

  /** The refusal that {@link Refusal.plain} described. */
  static revive({ check, reason, detail }: PlainRefusal): Refusal {
    return new Refusal(check, reason, detail);
  }

  /**
   * Joins the failures of one stage into the refusal that ends it: the first one speaks, all are reported.
   * @throws TypeError on an empty list: "no failure" must never become a refusal or a pass by accident.
   */
  static join(failures: readonly Refusal[]): Refusal {
    const [first, ...others] = failures;
    if (first === undefined) throw new TypeError('Refusal.join needs at least one failure');
    return others.length === 0 ? first : new Refusal(first.check, first.reason, first.detail, others);
  }
}

/** Throws a {@link Refusal}; reads as an expression at the end of a check. */
export function refuse(check: string, reason: string, detail: JsonObject = {}): never {
  throw new Refusal(check, reason, detail);
}
