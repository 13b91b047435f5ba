import { setTimeout as sleep } from 'node:timers/promises';
import {
  appendLeaves,
  EMPTY_EDGE,
  leafHash,
  loadEdge,
  parseBundle,
  parseLeaf,
  verifyCheckpoint,
  verifyConsistency,
} from '../audit/index.ts';
import type { AuditLeaf, Checkpoint, TileReader, UnverifiedCheckpoint, VerifierKey } from '../audit/index.ts';
import { equalBytes, refuse } from '../base/index.ts';
import { fetchBundle, fetchCheckpoint, fetchConsistency, fetchTile } from './log.ts';
import type { VerifierClient } from './verifier-client.ts';
import { VerifierRefusal } from './verifier-refusal.ts';

/**
 * The log's newest checkpoint, signed by the log and, where an earlier one is remembered, proved to continue it: no entry
 * was changed or taken out in between.
 * @param remembered a checkpoint that was verified before
 * @throws Refusal `log-signature`, `log-origin`, `log-consistency`, `malformed`
 */
export async function followCheckpoint(
  client: VerifierClient,
  logKeys: readonly VerifierKey[],
  remembered?: Checkpoint,
): Promise<UnverifiedCheckpoint> {
  if (remembered === undefined || remembered.size === 0n) {
    const checkpoint = await fetchCheckpoint(client);
    verifyCheckpoint(checkpoint, logKeys);
    return checkpoint;
  }
  const newest = await fetchCheckpoint(client);
  verifyCheckpoint(newest, logKeys);
  // A log that became shorter has no proof to ask for.
  if (newest.claimed.size < remembered.size)
    refuse('log-consistency', 'the log is shorter than a checkpoint of it that was verified before', {
      remembered: String(remembered.size),
      size: String(newest.claimed.size),
    });
  const { checkpoint, proof } = await fetchConsistency(client, remembered.size);
  verifyCheckpoint(checkpoint, logKeys);
  const { origin, size, root } = checkpoint.claimed;
  if (origin !== remembered.origin)
    refuse('log-origin', 'the log has another origin than the one that was verified before', { origin });
  verifyConsistency({ oldSize: remembered.size, oldRoot: remembered.root, size, root, proof });
  return checkpoint;
}

/** What {@link readEntries} found in entries whose root is the checkpoint's. */
export interface EntriesRead {
  readonly from: bigint;
  readonly to: bigint;
  /** Entries by kind. */
  readonly kinds: Readonly<Record<string, number>>;
}

/** From where, and who is told of what. */
export interface EntriesOptions {
  /** Begin after this verified checkpoint; its tree is read from tiles and compared with it. */
  readonly after?: Checkpoint;
  /** Called after each bundle: entries read so far. */
  readonly onProgress?: (done: bigint) => void;
  /** Called with each entry, before it is known whether the whole is right. */
  readonly onEntry?: (leaf: AuditLeaf) => void;
}

const BUNDLE = 256n;
/** How long and how often to wait when the verifier says that it is too fast. */
const PAUSE_MS = 5000;
const PAUSES = 24;

/**
 * Reads every entry below a verified checkpoint, each well formed and at its own index, none earlier than the one
 * before, and recomputes the tree's root from them.
 * @throws Refusal `log-root` when the entries aren't those of the checkpoint; `malformed`, `log-tile`; VerifierRefusal
 *   `not-permitted` for who may not read entries
 */
export async function readEntries(
  client: VerifierClient,
  { size, root }: Checkpoint,
  { after, onProgress, onEntry }: EntriesOptions = {},
): Promise<EntriesRead> {
  const from = after?.size ?? 0n;
  let edge = from === 0n ? EMPTY_EDGE : await loadEdge(from, tileReader(client));
  if (after !== undefined && from > 0n && !equalBytes(appendLeaves(edge, []).root, after.root))
    refuse('log-root', 'the log’s tiles are not those of the checkpoint before', { size: String(from) });
  let found = edge === EMPTY_EDGE ? undefined : appendLeaves(edge, []).root;
  const kinds: Record<string, number> = {};
  let time = '';
  for (let next = from; next < size;) {
    const index = next / BUNDLE;
    const end = index * BUNDLE + BUNDLE < size ? index * BUNDLE + BUNDLE : size;
    const width = Number(end - index * BUNDLE);
    const bytes = await patiently(() => fetchBundle(client, { index, width }));
    const entries = parseBundle(bytes, width).slice(Number(next - index * BUNDLE));
    for (const [i, entry] of entries.entries()) {
      const leaf = parseLeaf(entry);
      requirePlace(leaf, next + BigInt(i), time);
      time = leaf.time;
      kinds[leaf.kind] = (kinds[leaf.kind] ?? 0) + 1;
      onEntry?.(leaf);
    }
    ({ edge, root: found } = appendLeaves(edge, entries.map(leafHash)));
    next = end;
    onProgress?.(next);
  }
  if (found !== undefined && !equalBytes(found, root))
    refuse('log-root', 'the entries lead to another root than the checkpoint’s', { size: String(size) });
  return { from, to: size, kinds };
}

/** An entry says itself where it is and when it was made; both only ever go forward. */
function requirePlace({ index, time }: AuditLeaf, expected: bigint, before: string): void {
  if (index !== String(expected))
    refuse('log-root', 'an entry is at another index than it says', { index, expected: String(expected) });
  if (time < before) refuse('log-root', 'an entry is older than the one before it', { index, time, before });
}

/** Hash tiles over HTTP, as proofs read them. */
export function tileReader(client: VerifierClient): TileReader {
  return {
    readTiles: async (ids) => {
      const tiles: Uint8Array[] = [];
      for (const id of ids) tiles.push(await patiently(() => fetchTile(client, id)));
      return tiles;
    },
  };
}

async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let pauses = 0; ; pauses++) {
    try {
      return await ask();
    } catch (error) {
      const fast = error instanceof VerifierRefusal && error.denial.code === 'rate-limited';
      if (!fast || pauses === PAUSES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
