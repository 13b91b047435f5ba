import { Refusal } from '../../base/index.ts';
import type { JsonValue } from '../../base/index.ts';
import { VerifierRefusal } from '../../client/index.ts';
import { toDenial } from '../../lifecycle/denial.ts';
import { paint, printable } from '../output.ts';
import type { Io } from '../output.ts';

/** What a step came to: one line of `up --json`. */
export interface StepOutcome {
  readonly step: string;
  /** False: refused, and why. */
  readonly ok: boolean;
  readonly code: string | null;
  readonly check: string | null;
  /** Of the denial's leaf; null where the verifier had no part in it. */
  readonly auditIndex: string | null;
  /** tlog-proof text of that leaf. */
  readonly proof: string | null;
}

/** Who said no, and what. */
export interface Refused {
  readonly code: string;
  readonly check: string;
  readonly reason: string;
  readonly auditIndex: string | null;
}

/** An error as a refusal; what is none of ours or of the TPM's is no demonstration and thrown on. */
export function refusalOf(error: unknown): Refused {
  if (error instanceof VerifierRefusal) {
    const { code, check, reason } = error.denial;
    return { code, check, reason, auditIndex: error.auditIndex ?? null };
  }
  if (!(error instanceof Refusal)) throw error;
  const { code, check, reason } = toDenial(error);
  return { code, check, reason, auditIndex: null };
}

/** Says what happens, to a person or as NDJSON. */
export class UpReport {
  readonly #io: Io;
  readonly #json: boolean;
  readonly #start = performance.now();
  readonly #unexpected: string[] = [];
  #last = this.#start;

  constructor(io: Io, json: boolean) {
    this.#io = io;
    this.#json = json;
  }

  get unexpected(): readonly string[] {
    return this.#unexpected;
  }

  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  heading(text: string): void {
    if (!this.#json) this.#io.stdout(`\n${paint(this.#io, 'bold', text)}\n`);
  }

  line(text: string): void {
    if (!this.#json) this.#io.stdout(`    ${printable(text)}\n`);
  }

  /** A step that went well: what was done and what that proved. */
  done(step: string, facts: readonly string[], proves: string): void {
    this.#outcome({ step, ok: true, code: null, check: null, auditIndex: null, proof: null });
    if (this.#json) return;
    this.#io.stdout(`  ${paint(this.#io, 'green', 'ok    ')} ${step} ${this.#took()}\n`);
    for (const fact of facts) this.line(fact);
    this.line(`proves: ${proves}`);
  }

  /** A step that was refused, as it has to be. */
  refused(
    step: string,
    { code, check, reason, auditIndex }: Refused,
    proof: string | null,
    by: string,
  ): void {
    this.#outcome({ step, ok: false, code, check, auditIndex, proof });
    if (this.#json) return;
    this.#io.stdout(`  ${paint(this.#io, 'yellow', 'denied')} ${step} ${this.#took()}\n`);
    this.line(`${by}: ${code} [${check}] ${reason}`);
    if (auditIndex !== null) this.line(`leaf ${auditIndex} of the audit log, with an inclusion proof`);
  }

  /** A step that did not come out as it has to. */
  wrong(step: string, what: string): void {
    this.#unexpected.push(`${step}: ${what}`);
    if (!this.#json) this.#io.stdout(`  ${paint(this.#io, 'red', 'WRONG ')} ${step}: ${printable(what)}\n`);
  }

  #outcome(outcome: StepOutcome): void {
    if (this.#json)
      this.#io.stdout(`${JSON.stringify(outcome satisfies Record<keyof StepOutcome, JsonValue>)}\n`);
  }

  #took(): string {
    const now = performance.now();
    const text = `(${((now - this.#last) / 1000).toFixed(1)} s)`;
    this.#last = now;
    return paint(this.#io, 'dim', text);
  }
}
