import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { migrate, openSqlite, rebuildLineage } from '../../store/index.ts';
import type { LineageRebuilt } from '../../store/index.ts';
import { findConfig } from '../config-file.ts';
import { UsageError } from '../errors.ts';
import { paint, printJson, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { progressOf } from '../store-keys.ts';
import { group } from './group.ts';

const HELP = `
The index is made of the log alone, so making it again gives the same one; rows that differ are corrected, and the exit
status is 1: somebody changed the index, or an update was interrupted. It may run beside the verifier, which waits while
rows are corrected.

Example:
  sealgate store rebuild-lineage --config /etc/sealgate/sealgate.yaml
`;

/** `sealgate store rebuild-lineage`: the lineage index, made again from the log. */
export function registerStoreRebuild(program: Command, context: CommandContext): void {
  group(program, 'store', 'the verifier’s store')
    .command('rebuild-lineage')
    .description('make the lineage index again from the log, and correct what differs')
    .option('--config <file>', 'the verifier’s configuration file')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (options: { readonly config?: string }) => {
      const { files } = findConfig(options.config);
      if (!existsSync(files.store)) throw new UsageError(`there is no store ${files.store}`);
      const db = openSqlite(files.store);
      try {
        await migrate(db);
        const rebuilt = await rebuildLineage(db, progressOf(context, 'entries'));
        print(context, rebuilt);
      } finally {
        await db.destroy();
      }
    });
}

function print({ io, json, exit }: CommandContext, { entries, rows, removed, added }: LineageRebuilt): void {
  const same = removed === 0 && added === 0;
  if (!same) exit(1);
  const facts = { entries, rows, removed, added };
  if (json) {
    printJson(io, { ok: same, denial: null, ...facts });
    return;
  }
  io.stdout(`${same ? paint(io, 'green', 'the same') : paint(io, 'red', 'corrected')}\n`);
  io.stdout(table(Object.entries(facts).map(([name, value]) => [`  ${name}`, String(value)])));
}
