import { existsSync, renameSync, rmSync } from 'node:fs';
import { appendLeaves } from '../audit/index.ts';
import type { ReadingState } from '../audit/index.ts';
import { fromBase64, parseJsonObject, refuse, shape, toBase64 } from '../base/index.ts';
import type { Fail } from '../base/index.ts';
import { writeNewFile } from '../config/write-files.ts';
import { UsageError } from './errors.ts';
import { readInput } from './input.ts';

const { decimal, integer, list, literal, map, object, oneOf, text } = shape;
const hash = text({ min: 44, max: 44 });
const stateShape = object({
  v: literal(1),
  origin: text({ max: 255 }),
  what: oneOf('entries', 'tiles'),
  size: decimal,
  frontier: list(hash, 64),
  partial: list(list(hash, 256), 64),
  time: text({ min: 0, max: 32 }),
  kinds: map(/^[a-z-]{1,32}$/, integer(), 64),
});
const MAX_BYTES = 256 * 1024;

/** Which reading it is that is gone on with. */
export interface StateOf {
  readonly origin: string;
  readonly what: 'entries' | 'tiles';
}

/**
 * How far an interrupted reading came: the right edge of the tree, a few kilobytes. It is no proof of anything: the
 * reading that goes on from it must end at the root that the log signed, or is refused.
 * @returns undefined when there is none, or it is of another log or kind of reading
 * @throws Refusal `audit-state` for a file that isn't one
 */
export function readState(file: string, of: StateOf): ReadingState | undefined {
  if (!existsSync(file)) return undefined;
  const fail: Fail = (path, want) =>
    refuse('audit-state', `${path} is not ${want}: begin anew with --restart`, { file });
  const json = parseJsonObject(readInput(file, 'state of a reading', MAX_BYTES), 'state of a reading', {
    maxBytes: MAX_BYTES,
    maxDepth: 4,
  });
  const found = stateShape(json, 'state', fail);
  if (found.origin !== of.origin || found.what !== of.what) return undefined;
  const bytes = (encoded: string): Uint8Array => fromBase64(encoded, 'state');
  const edge = {
    size: BigInt(found.size),
    frontier: found.frontier.map(bytes),
    partial: found.partial.map((hashes) => hashes.map(bytes)),
  };
  requireEdge(edge, fail);
  return { edge, time: found.time, kinds: found.kinds };
}

/** An edge that can be appended to: as many hashes as its size has. */
function requireEdge(edge: ReadingState['edge'], fail: Fail): void {
  const bits = edge.size.toString(2).replaceAll('0', '').length;
  const widths = edge.partial.map((hashes) => hashes.length);
  const right = widths.every((width, level) => BigInt(width) === ((edge.size >> BigInt(8 * level)) & 0xffn));
  const deep = edge.size >> BigInt(8 * widths.length);
  if (edge.frontier.length !== bits || !right || deep > 0n) fail('state', 'the edge of a tree of its size');
  appendLeaves(edge, []);
}

/** Remembers how far a reading came. */
export function writeState(file: string, of: StateOf, { edge, time, kinds }: ReadingState): void {
  const state = {
    v: 1,
    ...of,
    size: String(edge.size),
    frontier: edge.frontier.map(toBase64),
    partial: edge.partial.map((hashes) => hashes.map(toBase64)),
    ...{ time, kinds },
  };
  const temporary = `${file}.${String(process.pid)}.new`;
  try {
    rmSync(temporary, { force: true });
    writeNewFile(temporary, `${JSON.stringify(state)}\n`, 0o600);
    renameSync(temporary, file);
  } catch (error) {
    throw new UsageError(
      `can't remember the state in ${file}: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
