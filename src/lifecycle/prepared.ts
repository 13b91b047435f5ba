import { equalBytes, refuse, toBase64url, utf8, canonicalJson } from '../base/index.ts';
import type { JsonObject } from '../base/index.ts';
import { parseLeaf } from '../audit/index.ts';
import type { Change, Committed } from '../audit/index.ts';
import { Refusal } from '../base/index.ts';
import { toDenial } from './denial.ts';
import type { Denial } from './denial.ts';
import type { LogView } from './ports.ts';

/** Answer to an allowed request (docs/PROTOCOL.md, "Execution"). */
export interface ExecutionAnswer {
  readonly leaf: string;
  readonly authorization: string;
  readonly proof: string;
  readonly consistency: readonly string[];
  readonly attestationResult: string;
  readonly policyManifest: JsonObject;
  readonly sealed: JsonObject;
}

/** What an allow will answer; nothing of it leaves before the commit. */
export interface Promised {
  readonly authorization: string;
  readonly attestationResult: string;
  readonly policyManifest: JsonObject;
  readonly sealed: JsonObject;
  /** Size of the log that the gateway has seen. */
  readonly logSize: bigint;
}

/**
 * An allow that was prepared and not committed. What it promises can't be read: only {@link finishExecution} gets it
 * out, for a commit that says that this very change was appended as an allow.
 */
class PreparedAllow {
  readonly outcome = 'allow';
  readonly change: Change;
  readonly executionId: string;
  readonly #promised: Promised;

  constructor(change: Change, executionId: string, promised: Promised) {
    this.change = change;
    this.executionId = executionId;
    this.#promised = promised;
  }

  /** The answer, for a committed allow of this change and for nothing else. @throws Refusal `commit-mismatch` */
  async release(committed: AllowCommit, log: LogView): Promise<ExecutionAnswer> {
    const { leaf, index, proof } = committed;
    requireLeafOf(this.change, leaf);
    const { logSize, ...rest } = this.#promised;
    const consistency = await log.consistency(logSize, sizeOf(committed.checkpoint, index));
    return { leaf: toBase64url(leaf), ...rest, proof, consistency };
  }
}

export type { PreparedAllow };

/** For decide.ts only. */
export function preparedAllow(change: Change, executionId: string, promised: Promised): PreparedAllow {
  return new PreparedAllow(change, executionId, promised);
}

/** A denial; with a change when the quote's signature verified, so that it becomes a leaf. */
export interface PreparedDenial {
  readonly outcome: 'deny';
  readonly denial: Denial;
  readonly change?: Change;
}

export type Prepared = PreparedAllow | PreparedDenial;

/** What the sender gets. A denial has no place for a proof, an authorization or anything sealed. */
export type Decided =
  | { readonly outcome: 'allow'; readonly answer: ExecutionAnswer; readonly auditIndex: string }
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
export async function finishExecution(
  prepared: Prepared,
  committed: Committed | undefined,
  log: LogView,
): Promise<Decided> {
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
  const { index, time, epoch, ...rest } = parseLeaf(leaf);
  const expected = utf8(canonicalJson({ ...body, index, time, epoch }));
  if (!equalBytes(leaf, expected) || rest.kind !== 'decision' || rest.outcome !== 'allow')
    refuse('commit-mismatch', 'the log has another leaf than the one that was prepared');
}

/** Size of the checkpoint's tree: its second line. */
function sizeOf(checkpoint: string, index: string): bigint {
  const [, size = ''] = checkpoint.split('\n');
  const tree = /^[1-9][0-9]*$/.test(size) ? BigInt(size) : 0n;
  if (tree <= BigInt(index)) refuse('commit-mismatch', 'the checkpoint does not cover the leaf');
  return tree;
}
