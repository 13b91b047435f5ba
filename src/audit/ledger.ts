import type { JsonObject } from '../base/index.ts';

/** What a decision depends on, named by kind and id; each has a version that grows by one with every write. */
export interface RecordRef {
  readonly kind: string;
  readonly id: string;
}

/** A record as it was read: what a change prepared from it must expect. */
export interface StoredRecord extends RecordRef {
  /** 1 for the first write. */
  readonly version: number;
  readonly body: JsonObject;
  /** Index of the leaf that wrote it, decimal. */
  readonly leaf: string;
}

/**
 * The checks of a commit that are no judgement of who asked: something that the change rests on (a record, the policy, a
 * revocation) moved while it was made. A new request is judged by what is true then.
 */
export const MOVED_CHECKS = ['state-moved', 'policy-moved', 'revoked-meanwhile'] as const;

/** The checks that a change brings to its commit; each is an entry of the table of denials. */
const CHANGE_CHECKS = [
  ...MOVED_CHECKS,
  'replay-nonce',
  'replay-token',
  'replay-execution',
  'budget-spent',
  'host-executions',
  'replay-enrollment',
  'enroll-host-known',
  'enroll-name-taken',
  'enroll-ak-known',
  'enroll-agent-key-known',
] as const;
export type CommitCheck = (typeof CHANGE_CHECKS)[number];

/** The checks that the ledger makes by itself when it applies a change. */
const LEDGER_CHECKS = ['e17', 'quote-overtaken', 'leaf-size', 'record-forged', 'record-stale'] as const;

/** Every check that can say no when a change is committed, and no earlier stage has to have seen. */
export const COMMIT_CHECKS: ReadonlySet<string> = new Set([...CHANGE_CHECKS, ...LEDGER_CHECKS]);

/** Something that must still hold when the change is committed, and the check that says no when it doesn't. */
export type Precondition = RecordRef & { readonly check: CommitCheck; readonly reason: string } & (
    { readonly is: 'version'; readonly version: number } | { readonly is: 'absent' }
  );

/** An id that works once (nonce, join token, bearer token, jti): taken in the commit, or the change is denied. */
export interface OnceOnly extends RecordRef {
  /** Unix ms after which the id may be forgotten, since nothing accepts it any more. */
  readonly expires: number;
  readonly check: CommitCheck;
  readonly reason: string;
  /**
   * Unix ms before which it can't have been made, by its own word. In a log that opened because entries of another are lost
   * nothing from before works: those entries may have used it.
   */
  readonly made?: number;
}

/**
 * A counter with a bound (children of an execution, executions of a host): changed under the head lock, so that two
 * decisions at one time never spend the same unit. The record's body is `{ used }`.
 */
export interface BudgetUse extends RecordRef {
  /** 1 takes a unit, -1 gives one back; it never goes below 0. */
  readonly add: 1 | -1;
  /** The most that may be used afterwards; looked at when a unit is taken. */
  readonly limit: number;
  readonly check: CommitCheck;
  readonly reason: string;
}

/**
 * High-water mark of a TPM: advanced under the lock by the boot rule of PROTOCOL 7, or the change is denied with
 * check e17. Two decisions of one host may be in flight; what counts is the order in which they commit.
 */
export interface CounterAdvance {
  /** SHA-256 of the EK's SPKI, hex: marks survive AK rotation. */
  readonly ek: string;
  readonly resetCount: number;
  readonly restartCount: number;
  /** Milliseconds, decimal. */
  readonly clock: string;
  readonly safe: boolean;
  /**
   * Unix ms at which the challenge that the quote answers was issued. One that the mark has overtaken since is late, not
   * a TPM that went back: it is denied with check quote-overtaken.
   */
  readonly challenged?: number;
  /** An operator lets the marks begin anew: TPM2_Clear set the TPM's counters back (re-enrollment, PROTOCOL 7). */
  readonly byOperator?: true;
}

/**
 * One prepared change: nothing of it is visible before its commit, and what it promises is worth nothing without.
 */
export interface Change {
  /** The leaf when everything holds: kind, subject, digests; the ledger adds time, index, epoch. */
  readonly leaf: JsonObject;
  /**
   * The leaf when something no longer holds; the ledger adds `denial: {check, reason}`. Without it the change leaves no
   * trace when it is denied (an operator's conflicting action).
   */
  readonly denialLeaf?: JsonObject;
  readonly preconditions: readonly Precondition[];
  readonly once: readonly OnceOnly[];
  readonly counters?: CounterAdvance;
  readonly budgets?: readonly BudgetUse[];
  readonly writes: readonly (RecordRef & { readonly body: JsonObject })[];
  /** Bodies kept by their SHA-256 (evidence, request): the leaf names the digests. */
  readonly bodies: readonly {
    readonly sha256: string;
    readonly data: Uint8Array;
    readonly keepUntil: number;
  }[];
  /** Bodies that are kept already and that this change rests on: no shorter than this. */
  readonly keepLonger?: readonly { readonly sha256: string; readonly keepUntil: number }[];
  /** Bodies kept when it is denied with a leaf: none where left out. */
  readonly denialBodies?: Change['bodies'];
}

/** What became of a change, after its commit is durable. */
export interface Committed {
  readonly ok: boolean;
  /** The check that no longer held; undefined when ok. */
  readonly denied?: { readonly check: string; readonly reason: string };
  /** The leaf as it was appended: canonical JSON; undefined for a denial without a leaf. */
  readonly leaf?: Uint8Array;
  /** Decimal. */
  readonly index?: string;
  /** Signed checkpoint that covers the leaf. */
  readonly checkpoint?: string;
  /** tlog-proof text of the leaf in that checkpoint. */
  readonly proof?: string;
}

/**
 * The one way to change anything that decides. Implemented by `store`: one transaction under the head lock, a savepoint
 * for each change, one signed checkpoint for each commit; answers leave only after the commit is durable.
 * @throws Refusal `ledger-unavailable` when the outcome is unknown or nothing can be written: then nothing was decided
 */
export interface Ledger {
  commit(change: Change): Promise<Committed>;
}

/** Reading what decides; every row's MAC is checked, a row that fails is a refusal (`record-forged`). */
export interface Records {
  get(ref: RecordRef): Promise<StoredRecord | undefined>;
  list(
    kind: string,
    options: { readonly after?: string; readonly limit: number },
  ): Promise<readonly StoredRecord[]>;
}
