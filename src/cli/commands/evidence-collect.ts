import { randomBytes } from 'node:crypto';
import type { Command } from 'commander';
import { KERNEL_LOGS, collectEvidence } from '../../agent/collect-evidence.ts';
import { openTpm, tctiOf } from '../../agent/open-tpm.ts';
import { fromHex } from '../../base/index.ts';
import { parsePcrSelectionText } from '../../tpm/index.ts';
import { UsageError, inUsage } from '../errors.ts';
import { printJson, printable } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

interface CollectOptions {
  readonly output: string;
  readonly nonce?: string;
  readonly select: string;
  readonly tcti?: string;
  readonly eventlog: string;
  readonly ima: string;
  readonly manifest?: string;
}

const HELP = `
Makes an attestation key for this purpose, quotes, reads the logs, and removes the key again. Reading the kernel's logs
needs root. A log that this host does not have is said, not invented.

Example:
  sudo sealgate evidence collect -o golden/ && sealgate verify evidence --dir golden/
`;

/** `sealgate evidence collect`: what verify, learn and a bug report need, from this host. */
export function registerEvidenceCollect(program: Command, context: CommandContext): void {
  group(program, 'evidence', 'evidence of this host')
    .command('collect')
    .description('quote this host’s TPM and write quote, key, PCR values and logs to a directory')
    .requiredOption('-o, --output <directory>', 'where the files go; must hold no evidence yet')
    .option('--nonce <hex>', 'qualifyingData of the quote (default: 32 random bytes)')
    .option('--select <selection>', 'PCRs to quote', 'sha256:0,1,2,3,4,5,6,7,8,9,10,14')
    .option('--tcti <tcti>', 'how to reach the TPM')
    .option('--eventlog <file>', 'the firmware’s event log', KERNEL_LOGS.eventlog)
    .option('--ima <file>', 'the binary IMA list', KERNEL_LOGS.ima)
    .option('--manifest <file>', 'sealgate.manifest.json of this installation')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action(async (options: CollectOptions) => {
      const { output, eventlog, ima, manifest } = options;
      const nonce =
        options.nonce === undefined
          ? new Uint8Array(randomBytes(32))
          : inUsage('--nonce', () => fromHex(options.nonce ?? ''));
      if (nonce.length === 0 || nonce.length > 64) throw new UsageError('--nonce: 1 to 64 bytes');
      const selection = inUsage('--select', () => parsePcrSelectionText(options.select));
      await using tpm = await openTpm(tctiOf(options.tcti, process.env));
      const collected = await collectEvidence(tpm, {
        directory: output,
        nonce,
        selection,
        eventlog,
        ima,
        ...(manifest === undefined ? {} : { manifest }),
      });
      const { io, json } = context;
      if (json) {
        printJson(io, {
          ok: true,
          denial: null,
          directory: output,
          files: collected.files,
          missing: collected.missing,
        });
        return;
      }
      io.stdout(`written to ${printable(output)}: ${collected.files.join(', ')}\n`);
      for (const file of collected.missing) io.stderr(`this host has no ${printable(file)}\n`);
    });
}
