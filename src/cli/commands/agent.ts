import type { Command } from 'commander';
import { NO_EXECUTIONS, notifyManager, startAgent, watchdogMs } from '../../agent/index.ts';
import type { RunnerPort } from '../../agent/index.ts';
import { refuse } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { findAgentConfig } from '../agent-config.ts';
import { systemClock } from '../clock.ts';
import { printable } from '../output.ts';
import { systemRandom } from '../random.ts';
import type { CommandContext } from '../run.ts';

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
      const agent = await startAgent({
        config: findAgentConfig(options.config),
        clock: systemClock,
        random: systemRandom,
        runner: () => ATTEST_ONLY,
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

/** An agent without a gateway: it attests its host, and refuses to run anything. */
const ATTEST_ONLY: RunnerPort = {
  ...NO_EXECUTIONS,
  run: () => Promise.resolve().then(() => refuse('agent-no-gateway', 'this agent runs nothing')),
};

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      process.once(signal, () => {
        resolve();
      });
  });
}
