import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { refuse, toHex } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { writeHighWater } from '../../server/high-water.ts';
import {
  beginEpoch,
  examineCopy,
  lockStore,
  openSqlite,
  readStoredHead,
  rebuildLineage,
  replaceStore,
  takeLaterWitnessed,
} from '../../store/index.ts';
import type { Examination, SoundCopy, StoreKeys, StoredHead } from '../../store/index.ts';
import { systemClock } from '../clock.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { droppedWarnings, lostEntries, readKnown, witnessWarnings } from '../lost-entries.ts';
import type { KnownLog, LostEntries } from '../lost-entries.ts';
import { copyInput, fileSha256, withDirectoryBeside } from '../private-directory.ts';
import { systemRandom } from '../random.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { progressOf, storeKeysOf } from '../store-keys.ts';
import { installSuccessor, makeSuccessor, planSuccessor, successorAnswer } from '../successor-log.ts';
import type { SuccessorPlan } from '../successor-log.ts';
import { group } from './group.ts';

const HELP = `
Only while the verifier is stopped. The backup is checked as a whole with this installation's keys, then compared with
what is known here: the high-water file and the store in place. One that lacks entries of either is a rollback of the log
and is refused. The store in place stays beside it under another name. A new epoch begins: nonces and join tokens that
were given out before are void.

--accept-rollback puts an older log in place all the same. What was revoked, used up or decided since is then forgotten.
The high-water file keeps the newest head that is known here: serve refuses a log that is behind it, and so do hosts,
witnesses and auditors that know more. Look into such a store, don't serve from it.

--successor ORIGIN, where the lost entries are lost for good: the log is closed, and another one with a key and a name of
its own opens. Its first entry names the newest checkpoint of the closed one that is known; give what hosts and auditors
remember by --known FILE, since a host that has seen more refuses. Nobody believes it before the policy authorities signed
the trust bundle that is written (-o). Executions end, and every host is quarantined until it attests; with --hold-hosts
until an operator restores it.

--drop-damaged-evidence leaves out kept evidence that is not what its digest says, for which a backup is refused otherwise, and
says which; packages that need it say that it is missing.

Example:
  sealgate store restore /backup/store-2026-11-23.db --config /etc/sealgate/sealgate.yaml
  sealgate store restore old.db --successor example.org/log-2 --known host-7.checkpoint -o trust-2.json
`;

interface RestoreOptions {
  readonly config?: string;
  readonly acceptRollback?: true;
  readonly successor?: string;
  readonly known: readonly string[];
  readonly holdHosts?: true;
  readonly dropDamagedEvidence?: true;
  readonly output?: string;
}

/** What a restore is about to put in place. */
interface Candidate extends SoundCopy {
  readonly sha256: string;
  /** Why entries that were answered may be missing; empty for none. */
  readonly lost: readonly string[];
  readonly forked: LostEntries['forked'];
  readonly known: KnownLog;
  /** What is in place until then. */
  readonly stored: StoredHead;
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

/** `sealgate store restore`: a backup in the place of the store. */
export function registerStoreRestore(program: Command, context: CommandContext): void {
  group(program, 'store', 'the verifier’s store')
    .command('restore <backup>')
    .description('put a backup in the place of the store, while the verifier is stopped')
    .option('--accept-rollback', 'even when it lacks entries that are known here')
    .option('--successor <origin>', 'close the log, and open another one of this name')
    .option(
      '--known <file>',
      'a checkpoint of the log that a host or auditor has; may be repeated',
      collect,
      [],
    )
    .option('--drop-damaged-evidence', 'leave out evidence that is not what its digest says')
    .option('--hold-hosts', 'with --successor: hosts stay quarantined until host restore')
    .option('-o, --output <file>', 'with --successor: where the trust bundle that is to be signed goes')
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
  options: RestoreOptions,
  context: CommandContext,
): Promise<JsonObject> {
  const { store, data } = found.files;
  const plan = planOf(found, options);
  if (!existsSync(data)) throw new UsageError(`there is no directory ${data}`);
  if (!existsSync(backup)) throw new UsageError(`there is no file ${backup}`);
  const keys = storeKeysOf(found);
  const lock = lockStore(store);
  try {
    return await withDirectoryBeside(`${store}.restore`, async (directory) => {
      const file = path.join(directory, 'store.db');
      // The bytes that are checked are those that are put in place, whoever can write the backup.
      await copyInput(backup, file);
      const copy = await judge(file, found, {
        ...{ keys, checkpoints: options.known },
        onProgress: progressOf(context, 'rows'),
        dropDamaged: options.dropDamagedEvidence === true,
      });
      if (copy.stored.state === 'signed') await rememberCosigned(file, store, keys.macKey);
      const epoch = toHex(systemRandom.bytes(16));
      if (plan !== undefined) return await succeed(plan, { found, file, copy, epoch, macKey: keys.macKey });
      if (copy.lost.length > 0 && options.acceptRollback !== true)
        refuse('store-rollback', `the backup is behind what is known here: ${copy.lost.join('; ')}`);
      await keepMark(found, copy);
      await renew(file, keys.macKey, epoch);
      const aside = `${store}.replaced-${new Date(systemClock.now()).toISOString().replace(/[-:.]/g, '')}`;
      const replaced = replaceStore(file, store, aside) ? aside : null;
      return answer(store, copy, epoch, replaced);
    });
  } finally {
    lock.release();
  }
}

/** @throws UsageError for options that don't go together */
function planOf(
  found: FoundConfig,
  { successor, output, holdHosts, acceptRollback }: RestoreOptions,
): SuccessorPlan | undefined {
  if (successor === undefined) {
    if (output !== undefined || holdHosts !== undefined)
      throw new UsageError('--output and --hold-hosts go with --successor');
    return undefined;
  }
  if (acceptRollback === true)
    throw new UsageError('either --accept-rollback, to look, or --successor, to go on');
  if (output === undefined)
    throw new UsageError('--successor needs -o FILE: the trust bundle that the authorities sign');
  return planSuccessor(found, {
    ...{ origin: successor, output: path.resolve(output), hostsReturn: holdHosts !== true },
  });
}

interface Succeeding {
  readonly found: FoundConfig;
  readonly file: string;
  readonly copy: Candidate;
  readonly epoch: string;
  readonly macKey: Uint8Array;
}

/** The copy's log is closed and its successor put in place. */
async function succeed(plan: SuccessorPlan, parts: Succeeding): Promise<JsonObject> {
  const { copy, found } = parts;
  const { lost, forked, known } = copy;
  if (lost.length === 0)
    throw new UsageError(
      'no entry is known to be missing: restore it without --successor, and the log goes on',
    );
  if (forked.length > 0)
    refuse('store-rollback', `there is more than one history of the log: ${forked.join('; ')}`);
  const successor = await makeSuccessor(plan, { ...parts, known, lost });
  const places = await installSuccessor(successor, plan, parts);
  const answered = successorAnswer(successor, plan, { ...places, store: found.files.store });
  return {
    ...answered,
    warnings: [...answered.warnings, ...witnessWarnings(copy), ...droppedWarnings(copy)],
  };
}

/** What a backup is compared with. */
interface Judging extends Examination {
  readonly keys: StoreKeys;
  readonly checkpoints: readonly string[];
}

/** Everything that is to be known of a backup before it is put in place. */
async function judge(
  file: string,
  { files }: FoundConfig,
  { keys, checkpoints, ...examination }: Judging,
): Promise<Candidate> {
  const sha256 = await fileSha256(file);
  const stored = await readStoredHead(files.store, keys.logKeys);
  const places = { highWaterFile: files.highWater, stored, logKeys: keys.logKeys, checkpoints };
  const known = readKnown(places);
  return await examineCopy(file, keys, examination, async (copy, tiles) => ({
    ...copy,
    sha256,
    ...{ stored, known },
    ...(await lostEntries({ size: copy.head.size, tiles }, known)),
  }));
}

/** The log that is given up is known outside the store, or serve could sign its entries again, as others. */
async function keepMark(
  { files: { highWater } }: FoundConfig,
  { lost, stored, known: { mark } }: Candidate,
): Promise<void> {
  if (lost.length === 0 || stored.state !== 'signed') return;
  // What nobody believes serve doesn't either: it starts on nothing then.
  if (mark === null) return;
  if (mark === undefined || mark.size < stored.head.size) await writeHighWater(highWater, stored.checkpoint);
}

/** As a witness of other logs this verifier goes on from what the store in place cosigned last. */
async function rememberCosigned(file: string, store: string, macKey: Uint8Array): Promise<void> {
  const [db, inPlace] = [openSqlite(file, 'DELETE'), openSqlite(store, 'DELETE')];
  try {
    await takeLaterWitnessed(db, inPlace, macKey);
  } finally {
    await Promise.all([db.destroy(), inPlace.destroy()]);
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
  const { head, records, sha256, checkpoint, lost } = copy;
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
      ...witnessWarnings(copy),
      ...droppedWarnings(copy),
    ],
  };
}
