import type { Command } from 'commander';
import type { JsonObject } from '../../base/index.ts';
import { listHosts, listInvitations, showHost } from '../../client/index.ts';
import type { HostView } from '../../client/index.ts';
import { findHost } from '../find-host.ts';
import { cell } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone, printList } from '../report.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface ListOptions extends ProfileOptions {
  readonly state?: string;
  readonly label: readonly string[];
}

/** `sealgate host ls|show|invites`. */
export function registerHostList(program: Command, context: CommandContext): void {
  const host = group(program, 'host', 'hosts: enrolling, seeing and governing them');
  withProfileOptions(host.command('ls').description('list the enrolled hosts'))
    .option('--state <state>', 'only those that are pending, active, quarantined or revoked')
    .option('--label <key=value>', 'only those with the label; repeatable', collect, [])
    .addHelpText('after', '\nExample:\n  sealgate host ls --state active --label site=berlin\n')
    .action(async (options: ListOptions) => {
      await withVerifier(options, async (client) => {
        const hosts: JsonObject[] = [];
        for await (const one of listHosts(client)) if (matches(one, options)) hosts.push(hostJson(one));
        printList(context, 'hosts', hosts, {
          host: (one) => cell(one['hostId']).slice(0, 16),
          name: (one) => cell(one['name']),
          state: (one) => (one['held'] === true ? 'quarantined until it attests' : cell(one['state'])),
          platform: (one) => cell(one['platform']),
          labels: (one) => labelText(one['labels']),
        });
      });
    });
  withProfileOptions(
    host.command('show <host>').description('show one host, by its id, the id’s start, or name'),
  )
    .addHelpText('after', '\nExample:\n  sealgate host show host-a\n')
    .action(async (name: string, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const found = await showHost(client, await findHost(client, name));
        printDone(context, found.state, hostJson(found));
      });
    });
  withProfileOptions(
    host.command('invites').description('list invitations and listed EKs, without their tokens'),
  )
    .addHelpText('after', '\nExample:\n  sealgate host invites\n')
    .action(async (options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const invitations: JsonObject[] = [];
        for await (const one of listInvitations(client)) invitations.push(one);
        printList(context, 'invitations', invitations, {
          invitation: (one) => cell(one['id']).slice(0, 16),
          name: (one) => cell(one['name']),
          state: (one) => cell(one['state']),
          platform: (one) => cell(one['platform']),
          expires: (one) => cell(one['expiresAt']),
          'invited by': (one) => cell(one['invitedBy']),
        });
      });
    });
}

/** Collects a repeatable option. */
export const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function matches({ state, labels }: HostView, options: ListOptions): boolean {
  if (options.state !== undefined && options.state !== state) return false;
  const have = new Set(Object.entries(labels).map(([key, value]) => `${key}=${value}`));
  return options.label.every((label) => have.has(label));
}

/** A host as JSON with the labels as an object of its own. */
export const hostJson = ({ labels, tpm, ...host }: HostView): JsonObject => ({
  ...host,
  labels: { ...labels },
  tpm: { ...tpm },
});

function labelText(labels: JsonObject[string] | undefined): string {
  return typeof labels === 'object' && labels !== null
    ? Object.entries(labels)
        .map(([key, value]) => `${cell(key)}=${cell(value as string)}`)
        .join(' ') || '-'
    : '-';
}
