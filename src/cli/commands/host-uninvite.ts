import type { Command } from 'commander';
import type { JsonValue } from '../../base/index.ts';
import { listInvitations, withdrawInvitation } from '../../client/index.ts';
import type { VerifierClient } from '../../client/index.ts';
import type { CommandContext } from '../context.ts';
import { refuseState } from '../errors.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printDone } from '../report.ts';
import { group } from './group.ts';

/** `sealgate host uninvite`: takes an invitation back before a host has come by it. */
export function registerHostUninvite(program: Command, context: CommandContext): void {
  const host = group(program, 'host', 'hosts: enrolling, seeing and governing them');
  withProfileOptions(
    host
      .command('uninvite <invitation>')
      .description('withdraw an invitation or a listed EK, by its id, the id’s start, or the host’s name'),
  )
    .addHelpText(
      'after',
      '\nA host that has come by an invitation stays: see sealgate host quarantine and revoke.\n' +
        '\nExample:\n  sealgate host uninvite host-a\n',
    )
    .action(async (text: string, options: ProfileOptions) => {
      await withVerifier(options, async (client) => {
        const id = await findInvitation(client, text);
        printDone(context, 'withdrawn', await withdrawInvitation(client, id));
      });
    });
}

/** The id of the invitation that a person means. @throws VerifierRefusal `not-found`, `conflict` */
async function findInvitation(client: VerifierClient, text: string): Promise<string> {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  const open: { readonly id: string }[] = [];
  for await (const { id, name, state } of listInvitations(client))
    if (state === 'open' && typeof id === 'string' && isMeant(id, name, text)) open.push({ id });
  const [only, ...more] = open;
  if (only === undefined)
    return refuseState('not-found', `no open invitation is for ${text}`, 'sealgate host invites lists them.');
  if (more.length > 0)
    refuseState(
      'conflict',
      `${String(open.length)} open invitations are for ${text}`,
      'Give the id of one of them, or more of its digits.',
    );
  return only.id;
}

const isMeant = (id: string, name: JsonValue | undefined, text: string): boolean =>
  name === text || (/^[0-9a-f]{8,63}$/.test(text) && id.startsWith(text));
