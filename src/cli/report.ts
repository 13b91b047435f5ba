import type { JsonObject } from '../base/index.ts';
import { factRows, paint, printJson, table } from './output.ts';
import type { CommandContext } from './run.ts';

/** Prints what a command did: a word and facts for people, one document for programs. */
export function printDone({ io, json }: CommandContext, word: string, facts: JsonObject): void {
  if (json) {
    printJson(io, { ok: true, denial: null, ...facts });
    return;
  }
  io.stdout(`${paint(io, 'green', word)}\n${table(factRows(facts, '  '))}`);
}

/** Prints a list: columns for people (`none` says what there is none of), all of it under `name` for programs. */
export function printList(
  { io, json }: CommandContext,
  name: string,
  items: readonly JsonObject[],
  columns: Readonly<Record<string, (item: JsonObject) => string>>,
): void {
  if (json) {
    printJson(io, { ok: true, denial: null, [name]: [...items] });
    return;
  }
  if (items.length === 0) {
    io.stdout(`no ${name}\n`);
    return;
  }
  const head = Object.keys(columns).map((column) => column.toUpperCase());
  io.stdout(table([head, ...items.map((item) => Object.values(columns).map((cell) => cell(item)))]));
}
