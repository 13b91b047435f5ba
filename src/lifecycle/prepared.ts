import { equalBytes, refuse, toBase64url, utf8, canonicalJson } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { leafPlace } from '../audit/index.ts';
import type { Change, Committed } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { toDenial } from './denial.ts';
import type { Denial } from './denial.ts';
import type { LogView } from './ports.ts';

/** What every answer has besides its own members: the leaf, and what proves it. */
export interface CommittedAnswer {
  readonly leaf: string;
  /** tlog-proof text. */
  readonly proof: string;
  /** From the size of the log that the sender knew, base64 hashes. */
  readonly consistency: readonly string[];
}

/** Answer to an allowed request (docs/PROTOCOL.md, "Execution"). */
export interface ExecutionAnswer extends CommittedAnswer {
  readonly authorization: string;
  readonly attestationResult: string;
  readonly policyManifest: JsonObject;
  readonly sealed: JsonObject;
}

/** What an allow will answer; nothing of it leaves before the commit. */
export interface Promised<A extends CommittedAnswer> {
  readonly answer: Omit<A, keyof CommittedAnswer>;
  /** Size of the log that the sender has seen. */
  readonly logSize: bigint;
}

/**
 * An allow that was prepared and not committed. What it promises can't be read: only {@link finishDecision} gets it
 * out, for a commit that says that this very change was appended as an allow.
 */
class PreparedAllow<A extends CommittedAnswer> {
  readonly outcome = 'allow';
  readonly change: Change;
  readonly #promised: Promised<A>;

  constructor(change: Change, promised: Promised<A>) {
    this.change = change;
    this.#promised = promised;
  }

  /** The answer, for a committed allow of this change and for nothing else. @throws Refusal `commit-mismatch` */
  async release(committed: AllowCommit, log: LogView): Promise<A> {
    const { leaf, index, proof } = committed;
    requireLeafOf(this.change, leaf);
    const { logSize, answer } = this.#promised;
    const consistency = await log.consistency(logSize, sizeOf(committed.checkpoint, index));
    const common: CommittedAnswer = { leaf: toBase64url(leaf), proof, consistency };
    // Its own members and the common ones: that is A.
    return { ...answer, ...common } as unknown as A;
  }
}

export type { PreparedAllow };

/** For the decisions of this folder only. */
export function preparedAllow<A extends CommittedAnswer>(
  change: Change,
  promised: Promised<A>,
): PreparedAllow<A> {
  return new PreparedAllow(change, promised);
}

/** A denial; with a change when the quote's signature verified, so that it becomes a leaf. */
export interface PreparedDenial {
  readonly outcome: 'deny';
  readonly denial: Denial;
  readonly change?: Change;
}

export type Prepared<A extends CommittedAnswer> = PreparedAllow<A> | PreparedDenial;

/** What the sender gets. A denial has no place for a proof, an authorization or anything sealed. */
export type Decided<A extends CommittedAnswer> =
  | { readonly outcome: 'allow'; readonly answer: A; readonly auditIndex: string }
  | { readonly outcome: 'deny'; readonly denial: Denial; readonly auditIndex?: string };

/** A commit that appended an allow: everything that an answer needs is there. */
interface AllowCommit {
  readonly leaf: Uint8Array;
  readonly index: string;
  readonly checkpoint: string;
  readonly proof: string;
}

/**
 * Turns a prepared decision and the outcome of its commit into what is sent. Only a commit that appended this allow
 * releases anything.
 * @param committed undefined when a denial made no change
 */
export async function finishDecision<A extends CommittedAnswer>(
  prepared: Prepared<A>,
  committed: Committed | undefined,
  log: LogView,
): Promise<Decided<A>> {
  const index = committed?.index === undefined ? {} : { auditIndex: committed.index };
  if (prepared.outcome === 'deny') return { outcome: 'deny', denial: prepared.denial, ...index };
  if (committed?.ok !== true) {
    const { check, reason } = committed?.denied ?? {
      check: 'ledger-unavailable',
      reason: 'the decision was not committed',
    };
    return { outcome: 'deny', denial: toDenial(Refusal.revive({ check, reason, detail: {} })), ...index };
  }
  const { leaf, checkpoint, proof } = committed;
  if (leaf === undefined || committed.index === undefined || checkpoint === undefined || proof === undefined)
    return refuse('commit-mismatch', 'a commit without its leaf and proof');
  const answer = await prepared.release({ leaf, index: committed.index, checkpoint, proof }, log);
  return { outcome: 'allow', answer, auditIndex: committed.index };
}

/** The appended leaf is the prepared one, and an allow: the answer's proof is of this and of nothing else. */
function requireLeafOf({ leaf: body }: Change, leaf: Uint8Array): void {
  // Only what the ledger adds is taken from it; that all the rest is as it was checked, the bytes say.
  const expected = utf8(canonicalJson({ ...body, ...leafPlace(leaf) }));
  if (!equalBytes(leaf, expected) || body['kind'] !== 'decision' || body['outcome'] !== 'allow')
    refuse('commit-mismatch', 'the log has another leaf than the one that was prepared');
}

/** Size of the checkpoint's tree: its second line. */
function sizeOf(checkpoint: string, index: string): bigint {
  const [, size = ''] = checkpoint.split('\n');
  const tree = /^[1-9][0-9]*$/.test(size) ? BigInt(size) : 0n;
  if (tree <= BigInt(index)) refuse('commit-mismatch', 'the checkpoint does not cover the leaf');
  return tree;
}
