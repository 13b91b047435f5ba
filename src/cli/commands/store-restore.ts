import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { Refusal, refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { readHighWater, writeHighWater } from '../../server/high-water.ts';
import {
  beginEpoch,
  examineCopy,
  lockStore,
  openSqlite,
  readStoredHead,
  rebuildLineage,
  replaceStore,
} from '../../store/index.ts';
import type { SoundCopy, StoreKeys, StoredHead } from '../../store/index.ts';
import { systemClock } from '../clock.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { lostEntries } from '../lost-entries.ts';
import { copyInput, fileSha256, withDirectoryBeside } from '../private-directory.ts';
import { systemRandom } from '../random.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { progressOf, storeKeysOf } from '../store-keys.ts';
import { group } from './group.ts';

const HELP = `
Only while the verifier is stopped. The backup is checked as a whole with this installation's keys, then compared with
what is known here: the high-water file and the store in place. One that lacks entries of either is a rollback of the log
and is refused. The store in place stays beside it under another name. A new epoch begins: nonces and join tokens that
were given out before are void.

--accept-rollback puts an older log in place all the same. What was revoked, used up or decided since is then forgotten.
The high-water file keeps the newest head that is known here: serve refuses a log that is behind it, and so do hosts,
witnesses and auditors that know more. Look into such a store, don't serve from it.

Example:
  sealgate store restore /backup/store-2026-11-23.db --config /etc/sealgate/sealgate.yaml
`;

interface RestoreOptions {
  readonly config?: string;
  readonly acceptRollback?: true;
}

/** What a restore is about to put in place. */
interface Candidate extends SoundCopy {
  readonly sha256: string;
  /** Why entries that were answered may be missing; empty for none. */
  readonly lost: readonly string[];
  /** What is in place until then. */
  readonly stored: StoredHead;
}

/** `sealgate store restore`: a backup in the place of the store. */
export function registerStoreRestore(program: Command, context: CommandContext): void {
  group(program, 'store', 'the verifier’s store')
    .command('restore <backup>')
    .description('put a backup in the place of the store, while the verifier is stopped')
    .option('--accept-rollback', 'even when it lacks entries that are known here')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (backup: string, options: RestoreOptions) => {
      printDone(context, 'restored', await restore(findConfig(options.config), backup, options, context));
    });
}

async function restore(
  found: FoundConfig,
  backup: string,
  { acceptRollback = false }: { readonly acceptRollback?: boolean },
  context: CommandContext,
): Promise<JsonObject> {
  const { store, data } = found.files;
  if (!existsSync(data)) throw new UsageError(`there is no directory ${data}`);
  if (!existsSync(backup)) throw new UsageError(`there is no file ${backup}`);
  const keys = storeKeysOf(found);
  const lock = lockStore(store);
  try {
    return await withDirectoryBeside(`${store}.restore`, async (directory) => {
      const file = path.join(directory, 'store.db');
      // The bytes that are checked are those that are put in place, whoever can write the backup.
      await copyInput(backup, file);
      const copy = await judge(file, found, keys, progressOf(context, 'rows'));
      if (copy.lost.length > 0 && !acceptRollback)
        refuse('store-rollback', `the backup is behind what is known here: ${copy.lost.join('; ')}`);
      await keepMark(found, copy, keys);
      const epoch = toHex(systemRandom.bytes(16));
      await renew(file, keys.macKey, epoch);
      const aside = `${store}.replaced-${new Date(systemClock.now()).toISOString().replace(/[-:.]/g, '')}`;
      const replaced = replaceStore(file, store, aside) ? aside : null;
      return answer(store, copy, epoch, replaced);
    });
  } finally {
    lock.release();
  }
}

/** Everything that is to be known of a backup before it is put in place. */
async function judge(
  file: string,
  { files }: FoundConfig,
  keys: StoreKeys,
  onProgress: (rows: number) => void,
): Promise<Candidate> {
  const sha256 = await fileSha256(file);
  const stored = await readStoredHead(files.store, keys.logKeys);
  const known = { highWaterFile: files.highWater, stored, logKeys: keys.logKeys };
  return await examineCopy(file, keys, onProgress, async (copy, tiles) => ({
    ...copy,
    sha256,
    stored,
    lost: await lostEntries({ size: copy.head.size, tiles }, known),
  }));
}

/** The log that is given up is known outside the store, or serve could sign its entries again, as others. */
async function keepMark(
  { files: { highWater } }: FoundConfig,
  { lost, stored }: Candidate,
  { logKeys }: StoreKeys,
): Promise<void> {
  if (lost.length === 0 || stored.state !== 'signed') return;
  const remembered = believed(() => readHighWater(highWater, logKeys));
  if (remembered === null) return;
  if (remembered === undefined || remembered.size < stored.head.size)
    await writeHighWater(highWater, stored.checkpoint);
}

/** Null for a file that nobody believes: serve doesn't either, and starts on nothing. */
function believed<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

async function renew(file: string, macKey: Uint8Array, epoch: string): Promise<void> {
  const db = openSqlite(file, 'DELETE');
  try {
    await beginEpoch(db, macKey, epoch);
    // No digest covers the index: it is what the checked log makes it.
    await rebuildLineage(db);
  } finally {
    await db.destroy();
  }
}

function answer(store: string, copy: Candidate, epoch: string, replaced: string | null): JsonObject {
  const { head, records, sha256, checkpoint, lost, witnessed, stored } = copy;
  // Cosigning adds no entry: that no entry is lost says nothing of it.
  const cosigned =
    witnessed > 0 || stored.state === 'unreadable' || (stored.state === 'signed' && stored.witnessed > 0);
  return {
    ...{ store, entries: Number(head.size), records, sha256, epoch, checkpoint, replaced },
    rollback: lost.length > 0,
    warnings: [
      ...lost.map((one) => `rolled back: ${one}`),
      ...(lost.length > 0
        ? [
            'revocations, budgets and decisions of since are forgotten; whoever knows a newer checkpoint refuses this log',
          ]
        : []),
      ...(cosigned
        ? ['as a witness this verifier may have cosigned newer heads of other logs: exchange its witness key']
        : []),
    ],
  };
}
