import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { DEFAULT_SOCKET, DEFAULT_STATE, askAgent, attestHost, openHost } from '../../agent/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { systemClock } from '../clock.ts';
import { printJson, table } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface AttestOptions {
  readonly state: string;
  readonly tcti?: string;
  readonly socket: string;
}

const HELP = `
Asks the agent where one runs; else attests from here, with the host's state and TPM. Executions under way are attested by
the agent only: it holds what they prove themselves with.

Example:
  sudo sealgate host attest
`;

/** `sealgate host attest`: this host, now. */
export function registerHostAttest(program: Command, context: CommandContext): void {
  group(program, 'host', 'hosts: enrolling, seeing and governing them')
    .command('attest')
    .description('attest this host to its verifier, now')
    .option('--state <directory>', 'the host’s state', DEFAULT_STATE)
    .option('--tcti <tcti>', 'how to reach the TPM (default: as at enrollment)')
    .option('--socket <path>', 'where the agent listens', DEFAULT_SOCKET)
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (options: AttestOptions) => {
      const outcome = existsSync(options.socket)
        ? await askAgent(options.socket, { v: 1, op: 'attest' })
        : await attestHere(options);
      const { io, json } = context;
      if (json) {
        printJson(io, { ok: true, denial: null, ...outcome });
        return;
      }
      io.stdout('attested\n');
      io.stdout(table(Object.entries(outcome).map(([name, value]) => [`  ${name}`, JSON.stringify(value)])));
    });
}

async function attestHere({ state, tcti }: AttestOptions): Promise<JsonObject> {
  await using host = await openHost({ state, ...(tcti === undefined ? {} : { tcti }) });
  const { auditIndex, policyVersion, status, certificateRenewed } = await attestHost(host, [], systemClock);
  return { v: 1, auditIndex, policyVersion, status, certificateRenewed };
}
