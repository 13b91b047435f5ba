import { isJsonObject, printable } from '../base/index.ts';
import type { JsonObject, JsonValue } from '../base/index.ts';

export { printable } from '../base/index.ts';

/** Where a command writes; tests pass their own. */
export interface Io {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  /** True when people get colour: a terminal, and NO_COLOR not set. */
  readonly colour: boolean;
}

/** The process's own streams. */
export function processIo(): Io {
  return {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    colour: process.stdout.isTTY && !process.env['NO_COLOR'],
  };
}

/** Writes the one JSON document that a command with `--json` prints; see {@link safeJson}. */
export function printJson(io: Io, value: JsonValue): void {
  io.stdout(`${safeJson(value, 2)}\n`);
}

/**
 * JSON that a terminal can show: values are what they were, but bidi, invisible and C1 control characters, which
 * JSON.stringify leaves raw, are written as \uXXXX. They occur only inside strings, where that is the same text.
 */
export function safeJson(value: JsonValue, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(/[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{Co}]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** Rows as aligned columns; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ');
  return rows.map((row) => `${line(row)}\n`).join('');
}

/** One value of an answer as a cell of a table: foreign text made safe, `-` for none. */
export function cell(value: JsonValue | undefined): string {
  if (value === undefined || value === null || value === '') return '-';
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}

/** The members of an answer as rows for {@link table}, nested ones indented; foreign text made safe. */
export function factRows(value: JsonObject, indent = ''): string[][] {
  return Object.entries(value).flatMap(([name, member]) =>
    factRow(`${indent}${name}`, member, `${indent}  `),
  );
}

function factRow(name: string, member: JsonValue, indent: string): string[][] {
  if (isJsonObject(member)) return [[name, ''], ...factRows(member, indent)];
  if (!Array.isArray(member))
    return [[name, printable(typeof member === 'string' ? member : JSON.stringify(member))]];
  const items = member as readonly JsonValue[];
  if (items.some(isJsonObject)) {
    return [
      [name, ''],
      ...items.map((item) => [indent, printable(isJsonObject(item) ? plainRow(item) : JSON.stringify(item))]),
    ];
  }
  return [
    [
      name,
      printable(items.map((item) => (typeof item === 'string' ? item : JSON.stringify(item))).join(', ')) ||
        'none',
    ],
  ];
}

function plainRow(item: JsonObject): string {
  return Object.values(item)
    .map((value) => (typeof value === 'string' ? value : JSON.stringify(value)))
    .join('  ');
}

/** Colours that carry meaning only together with words. */
export function paint(io: Io, colour: 'red' | 'green' | 'yellow' | 'bold' | 'dim', text: string): string {
  const codes = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 };
  return io.colour ? `\u001b[${String(codes[colour])}m${text}\u001b[0m` : text;
}
