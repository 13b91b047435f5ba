import { isJsonObject } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { stagedDifferences } from '../client/index.ts';
import type { CommandContext } from './context.ts';
import { refuseState } from './errors.ts';
import { cell, table } from './output.ts';
import { withVerifier } from './profile-file.ts';
import type { ProfileOptions } from './profile-file.ts';
import { printDone } from './report.ts';

/** What the staged bundle says otherwise than the active one, to decisions since it was staged. */
export async function showStaged(context: CommandContext, options: ProfileOptions): Promise<void> {
  await withVerifier(options, async (client) => {
    const answer = await stagedDifferences(client);
    const { staged = null } = answer;
    if (!isJsonObject(staged))
      refuseState('not-found', 'nothing is staged', 'sealgate policy stage stages a signed bundle.');
    if (context.json) {
      printDone(context, 'staged', answer);
      return;
    }
    const { differences = [], checks = [], ...counts } = staged;
    printDone(context, 'staged', counts);
    printRows(context, objects(checks), ['result', 'check', 'count']);
    printRows(context, objects(differences).map(rowOf), ['at', 'purpose', 'host', 'now', 'then', 'entry']);
  });
}

const objects = (value: JsonValue): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter((one: JsonValue): one is JsonObject => isJsonObject(one)) : [];

function rowOf({ at, purpose, hostId, now, then, auditIndex }: JsonObject): JsonObject {
  const said = (denial: JsonValue | undefined): JsonValue =>
    denial !== undefined && isJsonObject(denial) ? `denied [${cell(denial['check'])}]` : 'allowed';
  return {
    at: at ?? null,
    purpose: purpose ?? null,
    host: typeof hostId === 'string' ? hostId.slice(0, 12) : null,
    now: said(now),
    then: said(then),
    entry: auditIndex ?? null,
  };
}

function printRows({ io }: CommandContext, rows: readonly JsonObject[], columns: readonly string[]): void {
  if (rows.length === 0) return;
  const head = columns.map((column) => column.toUpperCase());
  io.stdout(`\n${table([head, ...rows.map((row) => columns.map((column) => cell(row[column])))])}`);
}
