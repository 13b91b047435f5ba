import type { Change, Committed } from '../audit/ledger.ts';
import { formatCheckpoint } from '../audit/checkpoint.ts';
import { appendLeaves, leafHash, loadEdge, proveAppended } from '../audit/index.ts';
import type { TreeEdge } from '../audit/index.ts';
import { formatLogProof } from '../audit/log-proof.ts';
import type { NoteSigner } from '../audit/verifier-key.ts';
import type { Clock } from '../base/index.ts';
import { fromUtf8, utf8 } from '../base/index.ts';
import type { Applied } from './apply-change.ts';
import { applyChange } from './apply-change.ts';
import type { Database } from './schema.ts';
import { signHead } from './sign-head.ts';
import { tileStore, writeTiles } from './tile-store.ts';

/** What the sequencer needs besides the store. The log key is used nowhere else. */
export interface SequencerKeys {
  readonly signer: NoteSigner;
  /** The key that is to follow it: both sign while hosts and auditors learn of it (rotation). */
  readonly successor?: NoteSigner;
  /** MAC key of rows that decide. */
  readonly macKey: Uint8Array;
}

/** The head as it was when the transaction took the lock. */
interface Head {
  readonly size: bigint;
  readonly time: number;
}

/**
 * Commits batches of changes, one transaction and one signed checkpoint each. Not reentrant: one batch at a time.
 * A transaction holds the head's lock from its first read to its commit, so what a change expects is read again under
 * it, and a checkpoint of one size is signed at most once.
 */
export class Sequencer {
  readonly #db: Database;
  readonly #keys: SequencerKeys;
  readonly #clock: Clock;
  readonly #epoch: string;
  /** The tree's right edge after the last commit that is known to be durable; undefined: read it back. */
  #edge: TreeEdge | undefined;

  constructor(db: Database, keys: SequencerKeys, clock: Clock, epoch: string) {
    this.#db = db;
    this.#keys = keys;
    this.#clock = clock;
    this.#epoch = epoch;
  }

  /** Commits a batch; the answers are in its order and may be sent: they are durable. */
  async commit(changes: readonly Change[]): Promise<Committed[]> {
    const before = this.#edge;
    // Unknown until COMMIT has answered: after an error nothing of this edge may be believed.
    this.#edge = undefined;
    const { applied, edge, checkpoint, proofs } = await this.#db.transaction().execute(async (db) => {
      const head = await readHead(db);
      const start = before?.size === head.size ? before : await loadEdge(head.size, tileStore(db));
      const time = Math.max(this.#clock.now(), head.time);
      const applied: Applied[] = [];
      let index = head.size;
      for (const change of changes) {
        const one = await applyChange(db, this.#keys.macKey, change, { index, time, epoch: this.#epoch });
        if (one.leaf !== undefined) index += 1n;
        applied.push(one);
      }
      return { applied, ...(await this.#append(db, start, applied, time)) };
    });
    this.#edge = edge;
    return answer(applied, edge.size, checkpoint, proofs);
  }

  /** Appends the leaves, writes tiles and head, signs the checkpoint of the new size. */
  async #append(
    db: Database,
    start: TreeEdge,
    applied: readonly Applied[],
    time: number,
  ): Promise<{ edge: TreeEdge; checkpoint: string; proofs: readonly Uint8Array[][] }> {
    const leaves = applied.flatMap(({ leaf }) => (leaf === undefined ? [] : [leaf]));
    const hashes = leaves.map(leafHash);
    const { edge, root, tiles } = appendLeaves(start, hashes);
    let position = Number(start.size);
    for (const data of leaves) await db.insertInto('leaves').values({ position: position++, data }).execute();
    await writeTiles(db, tiles);
    const text = formatCheckpoint({ origin: this.#keys.signer.key.name, size: edge.size, root });
    const checkpoint = signHead(text, this.#keys);
    const head = { size: Number(edge.size), time, checkpoint };
    await db
      .insertInto('head')
      .values({ id: 1, ...head })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(head))
      .execute();
    // From the edge, not from tiles: a proof of a new leaf then costs next to nothing.
    return { edge, checkpoint, proofs: proveAppended(start, hashes) };
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

async function readHead(db: Database): Promise<Head> {
  const row = await db.selectFrom('head').select(['size', 'time']).executeTakeFirst();
  return { size: BigInt(row?.size ?? 0), time: row?.time ?? 0 };
}
