import type { Change, Committed, Ledger, Records, StoredRecord } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { ALIVE, EXECUTION, endExecution, parseExecutionRecord, ranOut, restsOn } from '../lifecycle/index.ts';
import type { ExecutionRecord, Revocable, VerifierEnd } from '../lifecycle/index.ts';

const PAGE = 1000;
/** What ran out this long ago was ended by the host itself, whatever its clock says: ms. */
export const TOLD_MS = 120_000;

/** What is known here of an execution that has not ended. */
interface Live {
  readonly hostId: string;
  /** Unix seconds: end of its last authorization. */
  readonly expires: number;
  readonly boot: ExecutionRecord['boot'];
  readonly parent: string | null;
  /** What it rests on, with what its parent rested on when it was written. */
  readonly subjects: readonly Revocable[];
  /** The same, to be looked up. */
  readonly names: ReadonlySet<string>;
}

/** A revocation that an execution fell under, with the index of the leaf that says so. */
export interface RevokedExecution {
  readonly executionId: string;
  readonly hostId: string;
  readonly leaf: bigint;
  /** Unix seconds: when nothing of it would be left anyway. */
  readonly expires: number;
  readonly by: Revocable;
  readonly reason: string;
}

/** Who passes it on. */
export interface RevocationListener {
  revoked(one: RevokedExecution): void;
  /** The host has said how it ended there: it needs not be told any more. */
  acknowledged(hostId: string, executionId: string): void;
}

const nameOf = ({ kind, id }: Revocable): string => `${kind}/${id}`;

/**
 * Executions that have not ended: where they are, when their last authorization ends, what they rest on. It is fed by
 * the ledger itself, with every commit before anybody hears of it, and is only a list of where to look: what is written
 * is decided by the records.
 */
export class LiveExecutions {
  readonly #records: Records;
  readonly #live = new Map<string, Live>();
  readonly #byHost = new Map<string, Set<string>>();
  readonly #told: RevocationListener | undefined;
  #unsure = false;

  constructor(records: Records, told?: RevocationListener) {
    this.#records = records;
    this.#told = told;
  }

  get size(): number {
    return this.#live.size;
  }

  /**
   * Reads every record, as at the start; of those revoked before, hosts that were away have to be told still.
   * @param now Unix ms
   */
  async load(now: number): Promise<void> {
    const found: { readonly id: string; readonly record: ExecutionRecord; readonly leaf: bigint }[] = [];
    let after: string | undefined;
    for (;;) {
      const rows = await this.#records.list(EXECUTION, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      for (const { id, body, leaf } of rows) {
        const record = parseExecutionRecord(body);
        if (ALIVE.has(record.state) || record.expires * 1000 + TOLD_MS > now)
          found.push({ id, record, leaf: BigInt(leaf) });
      }
      after = rows.at(-1)?.id;
      if (rows.length < PAGE) break;
    }
    // Ids are in the order of hosts' clocks; what is above has to be known first.
    found.sort((a, b) => a.record.depth - b.record.depth);
    for (const { id, record, leaf } of found) this.#note(id, record, leaf);
  }

  /** What became of a commit isn't known: what it wrote, if it did, is found by {@link catchUp}. */
  unsure(): void {
    this.#unsure = true;
  }

  /**
   * Reads every record again where a commit may have been missed.
   * @param now Unix ms
   * @returns whether it did
   */
  async catchUp(now: number): Promise<boolean> {
    if (!this.#unsure) return false;
    this.#unsure = false;
    try {
      await this.load(now);
    } catch (error) {
      this.#unsure = true;
      throw error;
    }
    return true;
  }

  /** What a commit wrote: called with each, in their order, before anybody else learns of it. */
  committed(changes: readonly Change[], committed: readonly Committed[]): void {
    for (const [i, { writes }] of changes.entries()) {
      const { ok, index } = committed[i] ?? { ok: false };
      if (!ok || index === undefined) continue;
      for (const { kind, id, body } of writes)
        // What was written is what `executionBody` gave.
        if (kind === EXECUTION) this.#note(id, body as unknown as ExecutionRecord, BigInt(index));
    }
  }

  #note(executionId: string, record: ExecutionRecord, leaf: bigint): void {
    const { state, hostId, expires, boot, parent, revokedBy, exit } = record;
    if (ALIVE.has(state)) {
      const above = parent === null ? undefined : this.#live.get(parent);
      const subjects = restsOn(executionId, record, above?.subjects);
      const names = new Set(subjects.map(nameOf));
      this.#live.set(executionId, { hostId, expires, boot, parent, subjects, names });
      const others = this.#byHost.get(hostId);
      if (others === undefined) this.#byHost.set(hostId, new Set([executionId]));
      else others.add(executionId);
      return;
    }
    this.#forget(executionId, hostId);
    if (state !== 'revoked' || revokedBy === null) return;
    if (exit !== null) this.#told?.acknowledged(hostId, executionId);
    else
      this.#told?.revoked({ executionId, hostId, leaf, expires, by: revokedBy, reason: record.reason ?? '' });
  }

  #forget(executionId: string, hostId: string): void {
    this.#live.delete(executionId);
    const others = this.#byHost.get(hostId);
    others?.delete(executionId);
    if (others?.size === 0) this.#byHost.delete(hostId);
  }

  /** Ids of those that rest on the subject, themselves or by what is above them now: a renewal changes what that is. */
  restingOn(subject: Revocable): readonly string[] {
    const name = nameOf(subject);
    return [...this.#live.keys()].filter((id) => this.#rests(id, name));
  }

  #rests(executionId: string, name: string): boolean {
    for (let id: string | null = executionId; id !== null;) {
      const live = this.#live.get(id);
      if (live === undefined) return false;
      if (live.names.has(name)) return true;
      id = live.parent;
    }
    return false;
  }

  /** Those of the executions that others, which have not ended, are below. */
  above(executionIds: readonly string[]): readonly string[] {
    const above = new Set<string>();
    if (executionIds.length > 0)
      for (const [own, { subjects }] of this.#live)
        for (const { kind, id } of subjects) if (kind === 'execution' && id !== own) above.add(id);
    return executionIds.filter((id) => above.has(id));
  }

  /** Ids on a host, those of another boot alone where one is given. */
  onHost(hostId: string, notOf?: ExecutionRecord['boot']): readonly string[] {
    const ids = [...(this.#byHost.get(hostId) ?? [])];
    if (notOf === undefined) return ids;
    return ids.filter((id) => {
      const boot = this.#live.get(id)?.boot;
      return boot?.resetCount !== notOf.resetCount || boot.restartCount !== notOf.restartCount;
    });
  }

  /** Hosts that have, or are above, an execution that has not ended. */
  hosts(): ReadonlySet<string> {
    const all = [...this.#live.values()].flatMap(({ subjects }) => subjects);
    return new Set(all.flatMap(({ kind, id }) => (kind === 'host' ? [id] : [])));
  }

  /** Everything that any of them rests on. */
  subjects(): readonly Revocable[] {
    const all = [...this.#live.values()].flatMap(({ subjects }) => subjects);
    return [...new Map(all.map((one) => [nameOf(one), one])).values()];
  }

  /**
   * Ends those whose last authorization ran out without a report; one that moves meanwhile is left for the next time.
   * @param now Unix ms
   * @returns how many became `lost` or `expired`
   */
  async sweep(now: number, ledger: Ledger): Promise<number> {
    const due = [...this.#live].filter(([, { expires }]) => expires * 1000 <= now).map(([id]) => id);
    const ended = await this.end(due, ledger, (body) => {
      const state = ranOut(body, now);
      return state && { state, reason: SILENT };
    });
    return ended.length;
  }

  /**
   * Ends executions as it is decided by their records, each by a leaf of its own. One that moves meanwhile, or can't be
   * written, stays as it is.
   * @returns the records of those that ended
   */
  async end(
    executionIds: readonly string[],
    ledger: Ledger,
    decide: (body: ExecutionRecord) => VerifierEnd | undefined,
  ): Promise<readonly { readonly executionId: string; readonly hostId: string }[]> {
    const ended = await Promise.all(
      executionIds.map(async (executionId) => {
        const stored = await this.#records.get({ kind: EXECUTION, id: executionId });
        return stored === undefined ? [] : await this.#endOne(executionId, stored, ledger, decide);
      }),
    );
    return ended.flat();
  }

  async #endOne(
    executionId: string,
    stored: StoredRecord,
    ledger: Ledger,
    decide: (body: ExecutionRecord) => VerifierEnd | undefined,
  ): Promise<{ executionId: string; hostId: string }[]> {
    const body = parseExecutionRecord(stored.body);
    const { hostId } = body;
    if (!ALIVE.has(body.state)) this.#forget(executionId, hostId);
    const end = ALIVE.has(body.state) ? decide(body) : undefined;
    if (end === undefined) return [];
    try {
      const { ok } = await ledger.commit(endExecution({ executionId, record: stored, body }, end));
      return ok ? [{ executionId, hostId }] : [];
    } catch (error) {
      if (error instanceof Refusal) return [];
      throw error;
    }
  }
}

const SILENT = 'its last authorization ran out, and the host neither renewed it nor reported an end';
