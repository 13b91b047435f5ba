import { Refusal } from '../../base/index.ts';

/** Runs the steps of one verification and keeps what they refuse, so that all that is wrong is reported at once. */
export class Checks {
  readonly failures: Refusal[];

  /** @param failures what earlier steps refused */
  constructor(failures: readonly Refusal[] = []) {
    this.failures = [...failures];
  }

  /**
   * The step's result, or undefined when it refused. Anything else that it throws is a fault and goes on up.
   * @param inputs what the step is called with: quotes are checked by the thousand, and a closure costs each of them
   */
  run<Inputs extends readonly unknown[], T>(
    step: (...inputs: Inputs) => T,
    ...inputs: Inputs
  ): T | undefined {
    try {
      return step(...inputs);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.failures.push(...error.failures);
      return undefined;
    }
  }

  /** True while nothing was refused. */
  isClean(): boolean {
    return this.failures.length === 0;
  }
}

/**
 * The checks of form: each says which structure is not exactly what its specification encodes. e1 sizes, e4
 * TPMT_PUBLIC, e8 TPMT_SIGNATURE, e20 TPMS_ATTEST.
 */
export type FormCheck = 'e1' | 'e4' | 'e8' | 'e20';

/** Parses, and reports a malformed structure under the check that asks for its form. */
export function inForm<Inputs extends readonly unknown[], T>(
  check: FormCheck,
  parse: (...inputs: Inputs) => T,
  ...inputs: Inputs
): T {
  try {
    return parse(...inputs);
  } catch (error) {
    if (error instanceof Refusal && error.check === 'malformed') {
      throw new Refusal(check, error.reason, error.detail);
    }
    throw error;
  }
}
