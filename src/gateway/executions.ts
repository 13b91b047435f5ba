import type { ActiveExecution, ExecutionDenial, RenewedExecution } from '../agent/runner-port.ts';
import { refuse } from '../base/index.ts';
import type { Execution } from './execution.ts';

/** The executions of one gateway: those under way, and those asked for that have not started. */
export class Executions {
  readonly #running = new Map<string, Execution>();
  /** Asked for and not yet started, with why one must not start any more. */
  readonly #coming = new Map<string, ExecutionDenial | null>();

  /** From before its decision on, so that a revocation finds it. */
  expect(executionId: string): void {
    this.#coming.set(executionId, null);
  }

  /** @throws Refusal `revoked` when it was ended before it began */
  requireNotEnded(executionId: string): void {
    const denial = this.#coming.get(executionId) ?? null;
    if (denial !== null) refuse('revoked', 'it was revoked before it was started', { denial });
  }

  /** It runs. What ended it in the moment of its start ends it now. */
  async started(execution: Execution): Promise<void> {
    const { id } = execution;
    this.#running.set(id, execution);
    const ended = this.#coming.get(id) ?? null;
    this.#coming.delete(id);
    if (ended !== null) await execution.end(ended);
  }

  /** It is over, or never began. */
  forget(executionId: string): void {
    this.#running.delete(executionId);
    this.#coming.delete(executionId);
  }

  active(): readonly ActiveExecution[] {
    return [...this.#running.values()].map((execution) => execution.active());
  }

  /** Puts renewals in place. @throws what the first of them that failed threw, when all have been tried */
  async renew(renewed: readonly RenewedExecution[]): Promise<void> {
    // One that ends meanwhile must not cost the others their renewal.
    const results = await Promise.allSettled(
      renewed.map(async (one) => await this.#running.get(one.executionId)?.renew(one)),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async end(executionIds: readonly string[], reason: ExecutionDenial): Promise<void> {
    // What was revoked between its commit and its start is not there yet.
    for (const id of executionIds) if (this.#coming.has(id)) this.#coming.set(id, reason);
    const named = executionIds.flatMap((id) => this.#running.get(id) ?? []);
    await Promise.all(named.map((execution) => execution.end(reason)));
  }
}
