import path from 'node:path';
import type { Command } from 'commander';
import { DEFAULT_SOCKET, DEFAULT_STATE, tctiOf } from '../../agent/index.ts';
import { checkHost } from '../../agent/check-host.ts';
import { KERNEL_LOGS } from '../../agent/collect-evidence.ts';
import { paint, printJson, printable } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface CheckOptions {
  readonly tcti?: string;
  readonly state: string;
  readonly eventlog: string;
  readonly ima: string;
  readonly socket: string;
}

const COLOUR = { ready: 'green', warning: 'yellow', missing: 'red' } as const;

/** `sealgate host check`: what on this machine is ready. */
export function registerHostCheck(program: Command, context: CommandContext): void {
  group(program, 'host', 'hosts: enrolling, seeing and governing them')
    .command('check')
    .description('look what on this machine is ready: TPM, certificate, logs, isolation, modes')
    .option('--tcti <tcti>', 'how to reach the TPM')
    .option('--state <directory>', 'the host’s state', DEFAULT_STATE)
    .option('--eventlog <file>', 'the firmware’s event log', KERNEL_LOGS.eventlog)
    .option('--ima <file>', 'the binary IMA list', KERNEL_LOGS.ima)
    .option('--socket <file>', 'where the agent listens', DEFAULT_SOCKET)
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nNothing is changed. Exit 1 when something is missing.\n\nExample:\n  sudo sealgate host check\n',
    )
    .action(async (options: CheckOptions) => {
      const { io, json, exit } = context;
      const items = await checkHost({
        tcti: tctiOf(options.tcti, process.env),
        state: options.state,
        socket: path.resolve(options.socket),
        logs: { eventLog: path.resolve(options.eventlog), imaList: path.resolve(options.ima) },
      });
      const ok = items.every(({ state }) => state !== 'missing');
      if (!ok) exit(1);
      if (json) {
        printJson(io, { ok, denial: null, items: items.map((item) => ({ ...item })) });
        return;
      }
      for (const { item, state, explanation } of items)
        io.stdout(
          `${paint(io, COLOUR[state], state.padEnd(7))}  ${item.padEnd(14)}  ${printable(explanation)}\n`,
        );
    });
}
