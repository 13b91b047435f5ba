import type { Command } from 'commander';
import { refuse } from '../../base/index.ts';
import { printable } from '../output.ts';
import type { CommandContext } from '../context.ts';

const HELP = `
Everything is on this machine and real, but for the TPM, which is swtpm's, and the boot, which was recorded. Needs swtpm,
swtpm-tools and the TPM software stack. With --json each step is one line:
{"step","ok","code","check","auditIndex","proof"}; what was refused has ok false.

Example:
  sealgate up
`;

/** `sealgate up`: the playground. */
export function registerUp(program: Command, { io, json }: CommandContext): void {
  program
    .command('up')
    .description('a whole Sealgate on this machine: enrolled host, governed run, and what is refused')
    .option('--keep', 'leave it running until Ctrl-C')
    .option('--json', 'one JSON document a step (NDJSON)')
    .addHelpText('after', HELP)
    .action(async ({ keep = false }: { readonly keep?: boolean }) => {
      // Loaded here, so that no other command waits for these modules.
      const { playThrough } = await import('../up/play.ts');
      const unexpected = await playThrough(io, { json, keep });
      if (unexpected.length > 0)
        refuse('playground', `steps came out otherwise than they must: ${printable(unexpected.join('; '))}`);
    });
}
