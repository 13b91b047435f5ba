import type { Command } from 'commander';
import { parsePrivateKey } from '../../artifact/index.ts';
import type { SigningKey } from '../../artifact/index.ts';
import type { JsonValue } from '../../base/index.ts';
import {
  dotGraph,
  graphOf,
  openLineageEvents,
  provJson,
  signVsa,
  svgTree,
  vsaStatement,
} from '../../lineage/index.ts';
import { writeWhole } from '../artifact-files.ts';
import { UsageError } from '../errors.ts';
import { readInput } from '../input.ts';
import { lineageJson, proofText } from '../lineage-json.ts';
import { readLineage } from '../lineage-reader.ts';
import type { LineageReading } from '../lineage-reader.ts';
import { printLineage } from '../lineage-text.ts';
import { printJson } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import type { CommandContext } from '../context.ts';
import { lineageOptions, pagingOf, progressOf } from '../lineage-options.ts';
import type { LineageFlags } from '../lineage-options.ts';
import { group } from './group.ts';

interface Options extends ProfileOptions, LineageFlags {
  readonly ancestors?: boolean;
  readonly descendants?: boolean;
  readonly format: string;
  readonly key?: string;
  readonly output?: string;
}

const FORMATS = ['tree', 'json', 'dot', 'svg', 'prov', 'openlineage', 'vsa'] as const;
type Format = (typeof FORMATS)[number];

const HELP = `
Without a direction: the way from the execution up to its origin. Every entry of the log that the answer consists of is
verified here, by the log key of the profile; an answer that doesn't verify is not printed.

Formats: ${FORMATS.join(', ')}. vsa is signed with --key (PEM or OpenSSH): it is the word of whoever checked the log, so
none of the verifier's keys signs it.

Example:
  sealgate exec lineage 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20
  sealgate exec lineage 0198f2a0-5c1e-7f3a-9d52-0c4a8e7b1d20 --descendants --format dot | dot -Tsvg -o lineage.svg
`;

/** `sealgate exec lineage ID`: who descends from whom, by whose authority, on what verdict. */
export function registerExecLineage(program: Command, context: CommandContext): void {
  const exec = group(program, 'exec', 'executions: what was asked for, runs and ran');
  lineageOptions(
    withProfileOptions(
      exec
        .command('lineage <execution>')
        .description('where an execution comes from, or what came of it, proved by the log'),
    ),
  )
    .option('--ancestors', 'up to its origin (default)')
    .option('--descendants', 'everything that it started, and what they started')
    .option('--format <format>', FORMATS.join(', '), 'tree')
    .option('--key <file>', 'private key that signs the summary; for --format vsa')
    .option('-o, --output <file>', 'write there instead of to standard output')
    .addHelpText('after', HELP)
    .action(async (executionId: string, options: Options) => {
      const format = formatOf(options, context.json);
      const ask = options.descendants === true ? 'descendants' : 'ancestors';
      const key = format === 'vsa' ? keyOf(options) : undefined;
      await withVerifier(options, async (client, profile) => {
        const paging = { ...pagingOf(options), ...progressOf(context) };
        const reading = await readLineage(client, profile, { ask, executionId }, paging);
        print(context, { executionId, format, key, detailed: ask === 'ancestors' }, reading, options.output);
      });
    });
}

function formatOf({ ancestors, descendants, format, output }: Options, json: boolean): Format {
  if (ancestors === true && descendants === true)
    throw new UsageError('--ancestors and --descendants: choose one');
  const known = FORMATS.find((one) => one === format);
  if (known === undefined) throw new UsageError(`--format is one of ${FORMATS.join(', ')}`);
  if (!json) return known;
  if (known !== 'tree' && known !== 'json') throw new UsageError(`--json and --format ${known}: choose one`);
  if (output !== undefined) throw new UsageError('--json prints on standard output');
  return 'json';
}

function keyOf({ key }: Options): SigningKey {
  if (key === undefined) throw new UsageError('--format vsa needs --key FILE, a private key that signs it');
  return parsePrivateKey(readInput(key, 'key', 65_536));
}

interface Wanted {
  readonly executionId: string;
  readonly format: Format;
  readonly key: SigningKey | undefined;
  readonly detailed: boolean;
}

function print({ io }: CommandContext, wanted: Wanted, reading: LineageReading, output?: string): void {
  if (wanted.format === 'tree' && output === undefined) {
    printLineage(io, reading, wanted.detailed);
    return;
  }
  let text = '';
  const into = { ...io, colour: false, stdout: (part: string) => (text += part) };
  if (wanted.format === 'tree') printLineage(into, reading, wanted.detailed);
  else if (wanted.format === 'dot') text = dotGraph(graphOf(reading.found.map(({ view }) => view)));
  else if (wanted.format === 'svg') text = svgTree(reading.found.map(({ view }) => view));
  else printJson(into, document(wanted, reading));
  if (output === undefined) io.stdout(text);
  else writeWhole(output, text);
  // What is drawn or exported has no place to say so itself.
  if (reading.next !== null && wanted.format !== 'json')
    io.stderr(`there is more: --after ${String(reading.next)}\n`);
}

function document({ executionId, format, key }: Wanted, reading: LineageReading): JsonValue {
  const views = reading.found.map(({ view }) => view);
  if (format === 'prov') return provJson(views);
  if (format === 'openlineage')
    return [...openLineageEvents(views, reading.known, reading.checkpoint.claimed.origin)];
  const view = reading.known.get(executionId);
  if (format === 'vsa' && key !== undefined && view !== undefined) {
    const proof = proofText(reading, view.decision.index);
    return signVsa(vsaStatement(view, { origin: reading.checkpoint.claimed.origin, proof }), key);
  }
  return { ok: true, denial: null, ...lineageJson(reading) };
}
