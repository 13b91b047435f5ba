import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import type { JsonObject } from '../../base/index.ts';
import { readHighWater, requireContinues } from '../../server/high-water.ts';
import { copyStore, examineCopy, publishFile } from '../../store/index.ts';
import type { Examination } from '../../store/index.ts';
import { findConfig } from '../config-file.ts';
import type { FoundConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { droppedWarnings } from '../lost-entries.ts';
import { fileSha256, withDirectoryBeside } from '../private-directory.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { progressOf, storeKeysOf } from '../store-keys.ts';
import { group } from './group.ts';

const HELP = `
May run beside the verifier: the copy is of one moment. Before it gets its name it is checked as a whole: rows, log, tree,
signed head, and that it has what the high-water file knew when it began. Neither keys nor the high-water file are in it.
Whoever has it can read the log and evidence; stored secrets are encrypted by keys/master.key.

Evidence that is not what its digest says (store check: "the kept body … is not the one of its digest") is a damaged disk's
or somebody's work, and no backup is made. --drop-damaged-evidence leaves it out of the copy and says which: entries keep
its digest, and packages that need it say that it is missing. What a record names (a policy, the request of an execution) still
decides, and isn't left out.

Example:
  sealgate store backup -o /backup/store-2026-11-23.db --config /etc/sealgate/sealgate.yaml
`;

interface BackupOptions {
  readonly config?: string;
  readonly output: string;
  readonly dropDamagedEvidence?: true;
}

/** `sealgate store backup`: a checked copy of the store, in one file. */
export function registerStoreBackup(program: Command, context: CommandContext): void {
  group(program, 'store', 'the verifier’s store')
    .command('backup')
    .description('a checked copy of the store in one new file')
    .requiredOption('-o, --output <file>', 'where the copy goes; no file is ever overwritten')
    .option('--drop-damaged-evidence', 'leave out evidence that is not what its digest says')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async ({ config, output, dropDamagedEvidence }: BackupOptions) => {
      const done = await backUp(findConfig(config), path.resolve(output), {
        onProgress: progressOf(context, 'rows'),
        dropDamaged: dropDamagedEvidence === true,
      });
      printDone(context, 'backed up', done);
    });
}

async function backUp(found: FoundConfig, output: string, examination: Examination): Promise<JsonObject> {
  const { store, highWater } = found.files;
  if (!existsSync(store)) throw new UsageError(`there is no store ${store}`);
  requireFree(output);
  const keys = storeKeysOf(found);
  // Before the copy is made: the verifier goes on, and the copy has at least what was remembered then.
  const remembered = readHighWater(highWater, keys.logKeys);
  return await withDirectoryBeside(output, async (directory) => {
    const file = path.join(directory, 'store.db');
    copyStore(store, file);
    const copy = await examineCopy(file, keys, examination, async (sound, tiles) => {
      if (remembered !== undefined) await requireContinues({ size: sound.head.size, tiles }, remembered);
      return sound;
    });
    const [sha256, bytes] = [await fileSha256(file), statSync(file).size];
    requireFree(output);
    publishFile(file, output);
    const { checkpoint, records, epoch } = copy;
    const entries = Number(copy.head.size);
    return {
      ...{ file: output, entries, records, bytes, sha256, epoch, checkpoint },
      warnings: droppedWarnings(copy),
    };
  });
}

/** Said nicely; that nothing is overwritten is what the publishing sees to. */
function requireFree(output: string): void {
  if (existsSync(output)) throw new UsageError(`${output} exists: nothing was written`);
}
