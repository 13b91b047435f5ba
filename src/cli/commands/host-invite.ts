import path from 'node:path';
import type { Command } from 'commander';
import { inviteHost } from '../../client/index.ts';
import type { InvitationOrder } from '../../client/index.ts';
import { writeNewFile } from '../../config/index.ts';
import { UsageError } from '../errors.ts';
import { findHost } from '../find-host.ts';
import { labelsOf } from '../labels.ts';
import { paint, printJson, printable, table } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';
import { collect } from './host-list.ts';

interface InviteOptions extends ProfileOptions {
  readonly name: string;
  readonly platform: string;
  readonly label: readonly string[];
  readonly ttl: string;
  readonly token: boolean;
  readonly tokenFile?: string;
  readonly ek?: string;
  readonly ekTemplate: string;
  readonly for?: string;
  readonly restartCounters?: boolean;
  readonly needsApproval?: boolean;
}

const HELP = `
The join token opens one enrollment. It is shown once: on the terminal, or in a new file of mode 0600. Bring it to the
host by a way that you trust; it is never an argument of a command.

Example:
  sealgate host invite --name host-a --platform server --label site=berlin --ttl 30m --token-file host-a.token
`;

/** `sealgate host invite`: what an operator says of a host before it comes. */
export function registerHostInvite(program: Command, context: CommandContext): void {
  const host = group(program, 'host', 'hosts: enrolling, seeing and governing them');
  withProfileOptions(host.command('invite').description('invite a host: URL, CA fingerprint and join token'))
    .requiredOption('--name <name>', 'what the host is called')
    .requiredOption('--platform <platform>', 'which platform of the policy it is')
    .option('--label <key=value>', 'a label; repeatable', collect, [])
    .option('--ttl <time>', 'how long the token works: 90s, 30m, at most 1h', '30m')
    .option('--token-file <file>', 'write the token to this new file (0600)')
    .option('--no-token', 'list the EK of --ek instead: that TPM needs no token')
    .option('--ek <hash>', 'only the TPM with this EK (its hostId: sealgate tpm ek)')
    .option('--ek-template <name>', 'which EK the host must have', 'L-1')
    .option('--for <host>', 'an enrolled host that comes again with another attestation key')
    .option('--restart-counters', 'with --for: its TPM was cleared, by you')
    .option('--needs-approval', 'another operator has to approve the host when it has come')
    .addHelpText('after', HELP)
    .action(async (options: InviteOptions) => {
      await withVerifier(options, async (client) => {
        const forHost = options.for === undefined ? null : await findHost(client, options.for);
        const order = orderOf(options, forHost);
        const { token, ...rest } = await inviteHost(client, order);
        const tokenFile = token === null ? null : writeToken(options.tokenFile, token);
        print(context, order.name, rest, { token, tokenFile });
      });
    });
}

function orderOf(options: InviteOptions, host: string | null): InvitationOrder {
  const { name, platform, ek = null, ekTemplate } = options;
  if (ek !== null && !/^[0-9a-f]{64}$/.test(ek)) throw new UsageError('--ek: 64 lowercase hex digits');
  if (!options.token && ek === null) throw new UsageError('--no-token lists an EK: give --ek');
  if (!options.token && options.tokenFile !== undefined)
    throw new UsageError('--no-token and --token-file exclude each other');
  return {
    ...{ name, platform, labels: labelsOf(options.label), ekTemplate, ek, host },
    restartCounters: options.restartCounters === true,
    needsApproval: options.needsApproval === true,
    ttlSeconds: options.token ? seconds(options.ttl) : null,
  };
}

function seconds(text: string): number {
  const [, digits, unit = 's'] = /^([1-9]\d{0,4})([smh]?)$/.exec(text) ?? [];
  const value = Number(digits) * ({ s: 1, m: 60, h: 3600 }[unit] ?? 1);
  if (!(value <= 3600)) throw new UsageError('--ttl: like 90s, 30m or 1h, and at most an hour');
  return value;
}

/** The token is in the world once the verifier answered: where the file can't be written, it is shown instead. */
function writeToken(file: string | undefined, token: string): string | null {
  if (file === undefined) return null;
  const target = path.resolve(file);
  try {
    writeNewFile(target, `${token}\n`, 0o600);
  } catch (error) {
    throw new UsageError(
      `--token-file: can't write ${file} (${error instanceof Error ? error.message : String(error)}); ` +
        'the token is lost, and the invitation ends by itself: invite again',
    );
  }
  return target;
}

function print(
  { io, json }: CommandContext,
  name: string,
  invited: {
    readonly url: string;
    readonly caFingerprint: string;
    readonly expiresAt: string | null;
    readonly auditIndex: string | null;
  },
  { token, tokenFile }: { readonly token: string | null; readonly tokenFile: string | null },
): void {
  const { url, caFingerprint, expiresAt, auditIndex } = invited;
  if (json) {
    const members = { name, url, caFingerprint, expiresAt, auditIndex };
    printJson(io, {
      ok: true,
      denial: null,
      ...members,
      token: tokenFile === null ? token : null,
      tokenFile,
    });
    return;
  }
  io.stdout(`${paint(io, 'green', 'invited')} ${printable(name)}\n`);
  io.stdout(
    table([
      ['  url', printable(url)],
      ['  CA fingerprint', caFingerprint],
      ...(expiresAt === null ? [] : [['  expires', printable(expiresAt)]]),
      ...(token === null
        ? [['  token', 'none: its EK is listed']]
        : [['  token', tokenFile === null ? printable(token) : `in ${printable(tokenFile)}`]]),
    ]),
  );
  io.stdout(
    `\nOn the host:\n  sudo sealgate host enroll --url ${printable(url)} --ca-fingerprint ${caFingerprint} --name ${printable(name)}` +
      `${token === null ? '' : ' --token-file FILE'}\n`,
  );
}
