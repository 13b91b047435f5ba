import type { Command } from 'commander';
import { isJsonObject } from '../../base/index.ts';
import type { JsonObject, JsonValue } from '../../base/index.ts';
import { listExecutions } from '../../client/index.ts';
import { LISTED_BY, isListedBy } from '../../lineage/index.ts';
import { UsageError } from '../errors.ts';
import { findHost } from '../find-host.ts';
import { executionJson } from '../lineage-json.ts';
import { lineageOptions, pagingOf, progressOf } from '../lineage-options.ts';
import type { LineageFlags } from '../lineage-options.ts';
import { readLineage } from '../lineage-reader.ts';
import type { LineageReading } from '../lineage-reader.ts';
import { cell, printJson, printable, table } from '../output.ts';
import { withProfileOptions, withVerifier } from '../profile-file.ts';
import type { ProfileOptions } from '../profile-file.ts';
import { printList } from '../report.ts';
import type { CommandContext } from '../context.ts';

interface ListOptions extends ProfileOptions, LineageFlags {
  readonly host?: string;
  readonly state?: string;
  readonly by?: string;
  readonly dependsOn?: string;
}

const HELP = `
With --by or --depends-on the answer comes from the audit log and is verified here, entry by entry (role audit):
  ${LISTED_BY.slice(0, 8).join(', ')},
  ${LISTED_BY.slice(8).join(', ')}.
Ids are those of \`sealgate revoke --help\`; a host also by its name, an initiator is ISSUER#SUBJECT, a secret NAME or
NAME@VERSION.

Example:
  sealgate exec ls --state running
  sealgate exec ls --by host web-1
  sealgate exec ls --depends-on 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
`;

/** `sealgate exec ls`: what the verifier knows of, or, by the log, what rests on something. */
export function registerExecList(exec: Command, context: CommandContext): void {
  lineageOptions(withProfileOptions(exec.command('ls [id]').description('list executions')))
    .option('--host <host>', 'only those of this host')
    .option(
      '--state <state>',
      'only those in this state: issued, running, ended, failed, revoked, expired, lost',
    )
    .option('--by <kind>', 'those that rest on ID, which is of this kind')
    .option('--depends-on <id>', 'those that rest on this, whatever it is: what its loss would touch')
    .addHelpText('after', HELP)
    .action(async (id: string | undefined, options: ListOptions) => {
      if (options.by === undefined && options.dependsOn === undefined) {
        if (id !== undefined) throw new UsageError('ID goes with --by KIND');
        await listKnown(context, options);
      } else await listByLog(context, id, options);
    });
}

async function listKnown(context: CommandContext, options: ListOptions): Promise<void> {
  await withVerifier(options, async (client) => {
    const host = options.host === undefined ? undefined : await findHost(client, options.host);
    const found: JsonObject[] = [];
    for await (const one of listExecutions(client, host))
      if (options.state === undefined || one['state'] === options.state) found.push(one);
    printList(context, 'executions', found, {
      execution: (one) => cell(one['executionId']),
      state: (one) => cell(one['state']),
      artifact: (one) => artifactName(one['artifact']),
      host: (one) => cell(one['hostId']).slice(0, 16),
      started: (one) => cell(one['startedAt']),
      expires: (one) => cell(one['expiresAt']),
    });
  });
}

const artifactName = (artifact: JsonValue | undefined): string =>
  isJsonObject(artifact) ? cell(artifact['name']) : '-';

async function listByLog(
  context: CommandContext,
  id: string | undefined,
  options: ListOptions,
): Promise<void> {
  const { by, dependsOn, state } = options;
  if (options.host !== undefined) throw new UsageError('--host: use --by host HOST');
  if (by !== undefined && dependsOn !== undefined) throw new UsageError('--by and --depends-on: choose one');
  if (by !== undefined && !isListedBy(by)) throw new UsageError(`--by is one of ${LISTED_BY.join(', ')}`);
  const wanted = by === undefined ? dependsOn : id;
  if (wanted === undefined) throw new UsageError(`--by ${by ?? ''}: which? give its ID`);
  if (by === undefined && id !== undefined) throw new UsageError('--depends-on has its ID');
  await withVerifier(options, async (client, profile) => {
    const subject = by === 'host' ? await findHost(client, wanted) : wanted;
    const order = { ask: 'list', kinds: by === undefined ? [] : [by], id: subject } as const;
    const paging = { ...pagingOf(options), ...progressOf(context) };
    const reading = await readLineage(client, profile, order, paging);
    const found = reading.found.filter(({ view }) => state === undefined || view.state === state);
    printFound(context, { ...reading, found });
  });
}

function printFound(
  { io, json }: CommandContext,
  { found, known, next, unchecked, checkpoint }: LineageReading,
): void {
  if (json) {
    const { origin, size } = checkpoint.claimed;
    printJson(io, {
      ...{ ok: true, denial: null, checkpoint: { origin, size: String(size) }, unchecked: [...unchecked] },
      executions: found.map(({ view, because }) => executionJson(view, because, known)),
      next: next === null ? null : String(next),
    });
    return;
  }
  if (found.length === 0) io.stdout('no executions\n');
  else {
    const rows = found.map(({ view: { executionId, state, decision, enrollment }, because }) => [
      ...[executionId, state, printable(decision.artifact?.name ?? '-')],
      ...[printable(enrollment?.name ?? decision.hostId.slice(0, 16)), decision.time],
      ...[decision.index, because],
    ]);
    io.stdout(table([['EXECUTION', 'STATE', 'ARTIFACT', 'HOST', 'ALLOWED', 'ENTRY', 'BECAUSE'], ...rows]));
  }
  if (unchecked.length > 0) io.stdout(`unchecked ${unchecked.join(', ')}\n`);
  if (next !== null) io.stdout(`more      --after ${String(next)}\n`);
}
