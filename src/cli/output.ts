import type { JsonValue } from '../base/index.ts';

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

/** Writes the one JSON document that a command with `--json` prints. */
export function printJson(io: Io, value: JsonValue): void {
  io.stdout(`${JSON.stringify(value, null, 2)}\n`);
}

/**
 * Foreign text made safe for a terminal: control, bidi and other invisible characters are written as \u{…}, so that
 * a file name or a certificate can't move the cursor or reorder what is shown.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
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

/** Colours that carry meaning only together with words. */
export function paint(io: Io, colour: 'red' | 'green' | 'yellow' | 'bold' | 'dim', text: string): string {
  const codes = { red: 31, green: 32, yellow: 33, bold: 1, dim: 2 };
  return io.colour ? `\u001b[${String(codes[colour])}m${text}\u001b[0m` : text;
}
