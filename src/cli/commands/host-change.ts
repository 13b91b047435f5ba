import type { Command } from 'commander';
import { approveHost, labelHost, moveHost } from '../../client/index.ts';
import { UsageError } from '../errors.ts';
import { findHost } from '../find-host.ts';
import { labelChangesOf, labelsOf } from '../labels.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';
import { collect, hostJson } from './host-list.ts';

interface ApproveOptions extends ProfileOptions {
  readonly name?: string;
  readonly platform?: string;
  readonly label: readonly string[];
}

/** `sealgate host approve|label|quarantine|restore|revoke`. */
export function registerHostChange(program: Command, context: CommandContext): void {
  const host = group(program, 'host', 'hosts: enrolling, seeing and governing them');
  withProfileOptions(
    host.command('approve <host>').description('let a pending host in; not by who invited it'),
  )
    .option('--name <name>', 'for a host that came uninvited: what it is called')
    .option('--platform <platform>', '… which platform of the policy it is')
    .option('--label <key=value>', '… a label; repeatable', collect, [])
    .addHelpText('after', '\nExample:\n  sealgate host approve 3f8a… --name host-a --platform server\n')
    .action(async (text: string, options: ApproveOptions) => {
      const terms = termsOf(options);
      await withVerifier(options, async (client) => {
        const approved = await approveHost(client, await findHost(client, text), terms);
        printDone(context, 'approved', hostJson(approved));
      });
    });
  withProfileOptions(
    host.command('label <host> [changes...]').description('set labels (key=value), or take them away (key-)'),
  )
    .option('--platform <platform>', 'another platform of the policy')
    .addHelpText('after', '\nExample:\n  sealgate host label host-a site=berlin old- --platform server\n')
    .action(async (text: string, changes: string[], options: ProfileOptions & { platform?: string }) => {
      const { platform = null } = options;
      const labels = labelChangesOf(changes);
      if (changes.length === 0 && platform === null)
        throw new UsageError('nothing to change: give labels or --platform');
      await withVerifier(options, async (client) => {
        const changed = await labelHost(client, await findHost(client, text), { labels, platform });
        printDone(context, 'labelled', hostJson(changed));
      });
    });
  move(host, context, 'quarantine', 'stop a host until it is looked at: nothing is released to it');
  move(host, context, 'restore', 'end a quarantine');
  move(host, context, 'revoke', 'end a host for good: its TPM never comes in again');
}

const DONE = { quarantine: 'quarantined', restore: 'restored', revoke: 'revoked' } as const;

function move(host: Command, context: CommandContext, verb: keyof typeof DONE, description: string): void {
  withProfileOptions(host.command(`${verb} <host>`).description(description))
    .requiredOption('--reason <text>', 'why; it is in the audit log')
    .addHelpText('after', `\nExample:\n  sealgate host ${verb} host-a --reason "ticket 4711"\n`)
    .action(async (text: string, options: ProfileOptions & { reason: string }) => {
      await withVerifier(options, async (client) => {
        const moved = await moveHost(client, await findHost(client, text), verb, options.reason);
        printDone(context, DONE[verb], hostJson(moved));
      });
    });
}

/** All or nothing: an invited host has its terms, another one needs them. */
function termsOf({ name, platform, label }: ApproveOptions) {
  if (name === undefined && platform === undefined && label.length === 0) return null;
  if (name === undefined || platform === undefined)
    throw new UsageError('a host that came uninvited gets --name and --platform');
  return { name, platform, labels: labelsOf(label) };
}
