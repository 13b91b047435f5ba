import type { AuditLeaf } from '../audit/index.ts';
import { parseLeaf } from '../audit/index.ts';
import { Refusal, refuse } from '../base/index.ts';
import { isOrigin } from './keys.ts';
import type { Origin } from './keys.ts';
import type { LogEntries } from './ports.ts';

/** Longest chain of executions: a root and eight hops below it (the cap of delegation). */
export const MAX_CHAIN = 9;

/** Says that index and log don't fit together: somebody changed one of them. */
export function indexWrong(reason: string, position: number): never {
  refuse('lineage-index', `the lineage index is not that of the log: ${reason}`, { entry: String(position) });
}

/** An entry and its bytes. */
export interface FoundEntry<L extends AuditLeaf = AuditLeaf> {
  readonly position: number;
  readonly data: Uint8Array;
  readonly leaf: L;
}

/**
 * Reads the entry that a row named: an entry of this log, at the place where it says that it is.
 * @throws Refusal `lineage-index`
 */
export async function readEntry(entries: LogEntries, position: number): Promise<FoundEntry> {
  const data = await entries.entry(position);
  if (data === undefined) indexWrong('it names an entry that is not there', position);
  let leaf: AuditLeaf;
  try {
    leaf = parseLeaf(data);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return indexWrong('it names an entry that can’t be read', position);
  }
  if (leaf.index !== String(position)) indexWrong('an entry says that it is another one', position);
  return { position, data, leaf };
}

/** The decision that made an execution. @throws Refusal `lineage-index` when the entry isn't one */
export async function readOrigin(entries: LogEntries, position: number): Promise<FoundEntry<Origin>> {
  const { leaf, data } = await readEntry(entries, position);
  if (!isOrigin(leaf)) return indexWrong('it names an entry that made no execution', position);
  return { position, data, leaf };
}
