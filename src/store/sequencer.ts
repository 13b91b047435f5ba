import type { Change, Committed } from '../audit/ledger.ts';
import { formatCheckpoint } from '../audit/checkpoint.ts';
import { appendLeaves, leafHash, loadEdge, proveAppended } from '../audit/index.ts';
import type { TreeEdge } from '../audit/index.ts';
import { formatLogProof } from '../audit/log-proof.ts';
import type { Clock } from '../base/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import type { Applied } from './apply-change.ts';
import { applyChange } from './apply-change.ts';
import { EMPTY_CHAIN } from './head.ts';
import { prepared } from './prepared.ts';
import { fileLeaves } from './lineage-index.ts';
import type { Database } from './schema.ts';
import { signHead } from './sign-head.ts';
import type { SequencerKeys } from './sign-head.ts';
import type { StoreMemory } from './store-memory.ts';
import { tileStore, writeTiles } from './tile-store.ts';

const insertLeaf = prepared((db: Database, position: number, data: Uint8Array) =>
  db.insertInto('leaves').values({ position, data }),
);

/** The head before the first commit. */
const NO_HEAD = { size: 0n, time: 0, chain: EMPTY_CHAIN };

/** What a commit leaves. */
interface Appended {
  readonly edge: TreeEdge;
  readonly checkpoint: string;
  readonly proofs: readonly Uint8Array[][];
}

/**
 * Commits batches of changes, one transaction and one signed checkpoint each. Not reentrant: one batch at a time.
 * A transaction holds the head's lock from its first read to its commit, so what a change expects is read again under
 * it, and a checkpoint of one size is signed at most once. The head that it finds has to be the one that it wrote last.
 */
export class Sequencer {
  readonly #memory: StoreMemory;
  readonly #keys: SequencerKeys;
  readonly #clock: Clock;
  readonly #epoch: string;
  readonly #opened: number;
  /** The tree's right edge after the last commit that is known to be durable; undefined: read it back. */
  #edge: TreeEdge | undefined;

  /** @param opened see `Place` of apply-change.ts */
  constructor(memory: StoreMemory, keys: SequencerKeys, clock: Clock, epoch: string, opened: number) {
    this.#memory = memory;
    this.#keys = keys;
    this.#clock = clock;
    this.#epoch = epoch;
    this.#opened = opened;
  }

  /** Commits a batch; the answers are in its order and may be sent: they are durable. */
  async commit(db: Database, changes: readonly Change[]): Promise<Committed[]> {
    const before = this.#edge;
    // Unknown until COMMIT has answered: after an error nothing of this edge may be believed.
    this.#edge = undefined;
    const { rows } = this.#memory;
    const { applied, edge, checkpoint, proofs } = await this.#memory.change(db, async (transaction, head) => {
      const { size, time: newest, chain } = head ?? NO_HEAD;
      const start = before?.size === size ? before : await loadEdge(size, tileStore(transaction));
      const time = Math.max(this.#clock.now(), newest);
      const applied: Applied[] = [];
      let index = size;
      for (const change of changes) {
        const one = await applyChange(transaction, rows, change, {
          ...{ index, time, epoch: this.#epoch, opened: this.#opened },
        });
        if (one.leaf !== undefined) index += 1n;
        applied.push(one);
      }
      const appended = await this.#append(transaction, start, applied);
      const next = { size: index, time, checkpoint: appended.checkpoint };
      return {
        head: { ...next, chain: await this.#note(transaction, { chain, size }, applied) },
        result: { applied, ...appended },
      };
    });
    this.#edge = edge;
    return answer(applied, edge.size, checkpoint, proofs);
  }

  /** Appends the leaves, writes tiles, signs the checkpoint of the new size. */
  async #append(db: Database, start: TreeEdge, applied: readonly Applied[]): Promise<Appended> {
    const leaves = applied.flatMap(({ leaf }) => (leaf === undefined ? [] : [leaf]));
    const hashes = leaves.map(leafHash);
    const { edge, root, tiles } = appendLeaves(start, hashes);
    let position = Number(start.size);
    for (const data of leaves) await insertLeaf(db, position++, data);
    await writeTiles(db, tiles);
    await fileLeaves(db, Number(start.size), leaves);
    const text = formatCheckpoint({ origin: this.#keys.signer.key.name, size: edge.size, root });
    // From the edge, not from tiles: a proof of a new leaf then costs next to nothing.
    return { edge, checkpoint: signHead(text, this.#keys), proofs: proveAppended(start, hashes) };
  }

  /** Notes which records each leaf's change wrote. @returns the journal's new value */
  async #note(
    db: Database,
    { chain, size }: { readonly chain: Uint8Array; readonly size: bigint },
    applied: readonly Applied[],
  ): Promise<Uint8Array> {
    let value = chain;
    let position = Number(size);
    for (const { leaf, writes } of applied) {
      if (leaf === undefined) continue;
      value = await this.#memory.journal.append(db, value, position, writes);
      position++;
    }
    return value;
  }
}

/** The answers in the order of the changes; `proofs` has one inclusion proof for each leaf. */
function answer(
  applied: readonly Applied[],
  size: bigint,
  checkpoint: string,
  proofs: readonly (readonly Uint8Array[])[],
): Committed[] {
  let index = size - BigInt(proofs.length);
  const left = [...proofs];
  return applied.map(({ leaf, denied }) => {
    const verdict = denied === undefined ? { ok: true } : { ok: false, denied };
    const hashes = leaf === undefined ? undefined : left.shift();
    if (leaf === undefined || hashes === undefined) return verdict;
    const proof = fromUtf8(formatLogProof({ index, hashes, checkpoint: utf8(checkpoint) }), 'proof');
    return { ...verdict, leaf, index: String(index++), checkpoint, proof };
  });
}
