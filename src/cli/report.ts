import type { JsonObject } from '../base/index.ts';
import type { ReportedDenial } from '../client/verifier-refusal.ts';
import type { CommandContext } from './context.ts';
import { factRows, paint, printJson, printable, table } from './output.ts';
import type { Io } from './output.ts';

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

/** A denial as people read it (stderr) or as JSON with `members` of the command's own answer (stdout). */
export function printDenial(denial: ReportedDenial, io: Io, json: boolean, members: JsonObject = {}): void {
  if (json) {
    printJson(io, { ok: false, denial: { ...denial }, ...members });
    return;
  }
  const { stage, code, check, reason, remedy } = denial;
  io.stderr(
    `${paint(io, 'red', 'denied')} ${printable(stage)} ${printable(code)} [${printable(check)}]\n` +
      `  reason  ${printable(reason)}\n  remedy  ${printable(remedy)}\n`,
  );
}
