import type { Ledger, Records } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { ALIVE, EXECUTION, endExecution, parseExecutionRecord, ranOut } from '../lifecycle/index.ts';

const PAGE = 1000;

/**
 * Executions that have not ended, with the end of their last authorization: what has to be looked at when time passes.
 * Only a list of where to look: what is written is decided by the records.
 */
export class LiveExecutions {
  readonly #records: Records;
  readonly #ends = new Map<string, number>();

  constructor(records: Records) {
    this.#records = records;
  }

  get size(): number {
    return this.#ends.size;
  }

  /** Reads every record once, at start. */
  async load(): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const rows = await this.#records.list(EXECUTION, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      for (const { id, body } of rows) {
        const { state, expires } = parseExecutionRecord(body);
        if (ALIVE.has(state)) this.note(id, expires);
      }
      after = rows.at(-1)?.id;
      if (rows.length < PAGE) return;
    }
  }

  /** An execution that was allowed or renewed. @param expires Unix seconds */
  note(executionId: string, expires: number): void {
    this.#ends.set(executionId, Math.max(expires, this.#ends.get(executionId) ?? 0));
  }

  /** An execution that has ended. */
  ended(executionId: string): void {
    this.#ends.delete(executionId);
  }

  /**
   * Ends those whose last authorization ran out without a report; one that moves meanwhile is left for the next time.
   * @param now Unix ms
   * @returns how many became `lost` or `expired`
   */
  async sweep(now: number, ledger: Ledger): Promise<number> {
    const due = [...this.#ends].filter(([, expires]) => expires * 1000 <= now).map(([id]) => id);
    const ended = await Promise.all(due.map((id) => this.#end(id, now, ledger)));
    return ended.filter(Boolean).length;
  }

  async #end(executionId: string, now: number, ledger: Ledger): Promise<boolean> {
    const stored = await this.#records.get({ kind: EXECUTION, id: executionId });
    if (stored === undefined) return false;
    const body = parseExecutionRecord(stored.body);
    if (!ALIVE.has(body.state)) this.ended(executionId);
    const state = ranOut(body, now);
    if (state === undefined) return false;
    try {
      const { ok } = await ledger.commit(endExecution({ executionId, record: stored, body }, state));
      if (ok) this.ended(executionId);
      return ok;
    } catch (error) {
      if (error instanceof Refusal) return false;
      throw error;
    }
  }
}
