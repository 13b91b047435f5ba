import { setTimeout as sleep } from 'node:timers/promises';
import { readLog, readingAfter, verifyCheckpoint, verifyConsistency } from '../audit/index.ts';
import type {
  AuditLeaf,
  Checkpoint,
  LogRead,
  LogSource,
  TileReader,
  UnverifiedCheckpoint,
  VerifierKey,
} from '../audit/index.ts';
import { refuse } from '../base/index.ts';
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

/** From where, and who is told of what. */
export interface EntriesOptions {
  /** Begin after this verified checkpoint; its tree is read from tiles and compared with it. */
  readonly after?: Checkpoint;
  /** Called after each bundle: entries read so far. */
  readonly onProgress?: (done: bigint) => void;
  /** Called with each entry, before it is known whether the whole is right. */
  readonly onEntry?: (leaf: AuditLeaf) => void;
}

/** How long and how often to wait when the verifier says that it is too fast. */
const PAUSE_MS = 5000;
const PAUSES = 24;

/**
 * Reads every entry below a verified checkpoint, as `readLog` of `sealgate/audit` does.
 * @throws Refusal `log-root` when the entries aren't those of the checkpoint; `malformed`, `log-tile`; VerifierRefusal
 *   `not-permitted` for who may not read entries
 */
export async function readEntries(
  client: VerifierClient,
  checkpoint: Checkpoint,
  { after, onProgress, onEntry }: EntriesOptions = {},
): Promise<LogRead> {
  const source = verifierLog(client);
  return await readLog(source, checkpoint, {
    ...(after === undefined ? {} : { from: await readingAfter(source, after) }),
    onProgress: ({ edge }) => onProgress?.(edge.size),
    ...(onEntry === undefined ? {} : { onEntry }),
  });
}

/** A verifier's log, read over HTTPS. */
export function verifierLog(client: VerifierClient): LogSource {
  return {
    checkpoint: () => patiently(() => fetchCheckpoint(client)),
    tiles: tileReader(client),
    bundle: (id) => patiently(() => fetchBundle(client, id)),
  };
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
