import path from 'node:path';
import type { Command } from 'commander';
import { notifyManager, startAgent, watchdogMs } from '../../agent/index.ts';
import type { HostAccess } from '../../agent/index.ts';
import type { JsonObject } from '../../base/index.ts';
import type { AgentConfig } from '../../config/index.ts';
import { Gateway, verifyInstallation } from '../../gateway/index.ts';
import type { Installation } from '../../gateway/index.ts';
import { findAgentConfig } from '../agent-config.ts';
import { systemClock } from '../clock.ts';
import { printable } from '../output.ts';
import { systemRandom } from '../random.ts';
import type { CommandContext } from '../context.ts';

/** `sealgate agent`: the host's daemon, until SIGTERM or SIGINT. */
export function registerAgent(program: Command, { io }: CommandContext): void {
  program
    .command('agent')
    .description('run the host’s agent until SIGTERM; events go to standard error as JSON lines')
    .option('--config <file>', 'the configuration file')
    .addHelpText('after', '\nExample:\n  sealgate agent --config /etc/sealgate/agent.yaml\n')
    .action(async (options: { readonly config?: string }) => {
      const report = (event: JsonObject): void => {
        const time = new Date(systemClock.now()).toISOString();
        io.stderr(`${JSON.stringify({ time, ...event })}\n`);
      };
      const config = findAgentConfig(options.config);
      const installation = await verifyInstallation();
      report({ event: 'installation', ...installation, changed: [...installation.changed] });
      const agent = await startAgent({
        config,
        clock: systemClock,
        random: systemRandom,
        runner: (hosts) => gatewayOf(config, hosts, installation.state),
        report,
      });
      io.stdout(`listening on ${printable(agent.socket)}\n`);
      await notifyManager('READY=1');
      const beat = watchdogMs();
      const timer =
        beat === undefined ? undefined : setInterval(() => void notifyManager('WATCHDOG=1'), beat);
      await stopSignal();
      clearInterval(timer);
      await notifyManager('STOPPING=1');
      await agent.stop();
    });
}

/** What runs artifacts, with the daemon's own host. */
function gatewayOf(
  { execution, socket }: AgentConfig,
  hosts: HostAccess,
  installation: Installation['state'],
): Gateway {
  return new Gateway({
    installation,
    host: () => hosts.current(),
    clock: systemClock,
    random: systemRandom,
    environment: process.env,
    graceMs: execution.graceSeconds * 1000,
    anywhere: execution.unmeasured,
    ...(execution.credentials === '' ? {} : { credentials: execution.credentials }),
    // No execution asks the agent for another one by the socket of ordinary users.
    hidden: [path.dirname(socket.path)],
  });
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => {
        resolve();
      });
  });
}
