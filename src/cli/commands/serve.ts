import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { systemClock } from '../clock.ts';
import { findConfig } from '../config-file.ts';
import { printable } from '../output.ts';
import { removeLeftovers } from '../private-directory.ts';
import { systemRandom } from '../random.ts';
import type { CommandContext } from '../context.ts';

/** `sealgate serve`: the verifier, until SIGTERM or SIGINT. */
export function registerServe(program: Command, { io }: CommandContext): void {
  program
    .command('serve')
    .description('run the verifier until SIGTERM; log lines go to standard error')
    .option('--config <file>', 'the configuration file')
    .addHelpText('after', '\nExample:\n  sealgate serve --config /etc/sealgate/sealgate.yaml\n')
    .action(async (options: { readonly config?: string }) => {
      const { config, files } = findConfig(options.config);
      // Of a backup or restore that was killed: a copy of the store.
      if (existsSync(files.data)) removeLeftovers(files.data);
      // Loaded here, so that no other command waits for the HTTP server's modules.
      const { logVkey, startServer } = await import('../../server/index.ts');
      const server = await startServer({
        config,
        files,
        clock: systemClock,
        random: systemRandom,
        onError: (error) => {
          io.stderr(`sealgate: ${printable(error instanceof Error ? error.message : String(error))}\n`);
        },
      });
      const { address, port } = server.address;
      io.stdout(`listening on ${address} port ${String(port)}\n`);
      io.stdout(
        `  CA fingerprint  ${server.services.caFingerprint}\n  log key         ${logVkey(server.services)}\n`,
      );
      await new Promise<void>((resolve) => {
        for (const signal of ['SIGTERM', 'SIGINT'] as const)
          process.once(signal, () => {
            resolve();
          });
      });
      await server.stop();
    });
}
