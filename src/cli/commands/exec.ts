import type { Command } from 'commander';
import { showExecution } from '../../client/index.ts';
import { cell } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { registerExecList } from './exec-list.ts';
import { group } from './group.ts';

/** `sealgate exec ls|show`; `revoke` is in revoke.ts. */
export function registerExec(program: Command, context: CommandContext): void {
  const exec = group(program, 'exec', 'executions: what was asked for, runs and ran');
  registerExecList(exec, context);
  withProfileOptions(exec.command('show <execution>').description('show one execution'))
    .addHelpText('after', '\nExample:\n  sealgate exec show 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20\n')
    .action(async (id: string, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const { state = null, ...facts } = await showExecution(client, id);
        printDone(context, cell(state), { state, ...facts });
      });
    });
}
