import type { Command } from 'commander';
import { LIMITS } from '../../base/index.ts';
import type { JsonObject } from '../../base/index.ts';
import { asciiToBinary, inspectIma, isAsciiList } from '../../evidence/index.ts';
import type { ImaReport } from '../../evidence/index.ts';
import { readInput } from '../input.ts';
import { printJson, printable, table } from '../output.ts';
import type { Io } from '../output.ts';
import type { CommandContext } from '../context.ts';
import { group } from './group.ts';

const ASCII_NOTE =
  'This is the ascii form. A file name can forge lines of it, so it is no evidence; only the binary list is.';

const HELP = `
FILE is what the kernel gives as /sys/kernel/security/ima/binary_runtime_measurements. The ascii form can be looked at,
too, but file names can forge its lines. The PCR values are those of kernels from 5.8 on; of the sha1 bank, of any
kernel. They prove something only when a quote has them ("verify evidence").

Example:
  sealgate inspect ima /sys/kernel/security/ima/binary_runtime_measurements --json
`;

/** `sealgate inspect ima FILE`: counts, boot_aggregate and the PCR values that an IMA list gives. */
export function registerInspectIma(program: Command, context: CommandContext): void {
  group(program, 'inspect', 'explain a file offline; nothing is verified')
    .command('ima <file>')
    .description('parse and replay an IMA measurement list')
    .option('--json', 'one JSON document')
    .addHelpText('after', HELP)
    .action((file: string) => {
      const bytes = readInput(file, 'IMA list', LIMITS.imaList);
      const ascii = isAsciiList(bytes);
      const report = inspectIma([ascii ? asciiToBinary(bytes) : bytes]);
      if (context.json) printJson(context.io, reportJson(report, ascii));
      else printReport(context.io, report, ascii);
    });
}

function reportJson(
  { entries, templates, violations, bootAggregate, pcrs }: ImaReport,
  ascii: boolean,
): JsonObject {
  return {
    entries,
    templates,
    violations,
    bootAggregate,
    pcrs,
    ...(ascii && { format: 'ascii', note: ASCII_NOTE }),
  };
}

function printReport(io: Io, report: ImaReport, ascii: boolean): void {
  const rows = [
    ['entries', String(report.entries)],
    ...Object.entries(report.templates).map(([name, count]) => [`  ${printable(name)}`, String(count)]),
    ['violations', String(report.violations)],
    ['boot_aggregate', report.bootAggregate ?? 'none'],
    ...Object.entries(report.pcrs).flatMap(([bank, values]) =>
      Object.entries(values).map(([index, value]) => [`PCR ${index} ${bank}`, value]),
    ),
  ];
  io.stdout(table(rows));
  if (ascii) io.stdout(`\n${ASCII_NOTE}\n`);
}
