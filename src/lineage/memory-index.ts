import { entryForFiling } from './entry-for-filing.ts';
import { fileEntry } from './filing.ts';
import type { Filing, KnownOrigin } from './filing.ts';
import { LISTED_BY, indexKey, isOrigin } from './keys.ts';
import type { LineageKey } from './keys.ts';
import type { IndexRow, LineageSource, LogEntries, RowQuery } from './ports.ts';
import { executionOf } from './reason.ts';

/** What of a log is kept in memory. */
export interface MemoryOptions {
  /** Where entries are read again; without it they are kept. */
  readonly entries?: LogEntries;
  /** What executions will be listed by; without it by anything. */
  readonly listedBy?: readonly LineageKey[];
}

const LISTED: ReadonlySet<string> = new Set(LISTED_BY);

/**
 * The index of a log that is read as a whole: for an auditor who trusts no verifier's index. Entries are added in the
 * log's order. With both options it holds about 1 KB for each execution, and nothing of the entries.
 */
export class MemoryLineage implements LineageSource {
  readonly #entries: Uint8Array[] = [];
  readonly #elsewhere: LogEntries | undefined;
  readonly #wanted: ReadonlySet<string> | undefined;
  readonly #origins = new Map<string, KnownOrigin>();
  readonly #rows = new Map<string, IndexRow[]>();
  #size = 0;

  constructor({ entries, listedBy }: MemoryOptions = {}) {
    this.#elsewhere = entries;
    this.#wanted = listedBy && new Set(listedBy.map(indexKey));
  }

  async add(data: Uint8Array): Promise<void> {
    const position = this.#size++;
    if (this.#elsewhere === undefined) this.#entries.push(data);
    const leaf = entryForFiling(data);
    if (leaf?.index !== String(position)) return;
    const rows = await fileEntry(leaf, { origin: (id) => Promise.resolve(this.#origins.get(id)) });
    for (const row of rows) this.#insert(row);
    if (isOrigin(leaf) && rows.length > 0)
      this.#origins.set(executionOf(leaf), { position, parent: leaf.parent });
  }

  #insert({ key, kind, node, leaf }: Filing): void {
    if (this.#wanted !== undefined && LISTED.has(kind) && !this.#wanted.has(key)) return;
    const rows = this.#rows.get(key) ?? [];
    this.#rows.set(key, rows);
    // Renewals name earlier nodes, so the place is not always the end.
    const at = rows.findLastIndex((row) => row.node <= node);
    if (rows[at]?.node !== node) rows.splice(at + 1, 0, { node, leaf });
  }

  rows(key: string, { after, below, limit, newest }: RowQuery): Promise<readonly IndexRow[]> {
    const fit = (this.#rows.get(key) ?? []).filter(
      ({ node, leaf }) => node > after && node < below && leaf < below,
    );
    return Promise.resolve(newest === true ? fit.reverse().slice(0, limit) : fit.slice(0, limit));
  }

  async entry(position: number): Promise<Uint8Array | undefined> {
    return await (this.#elsewhere?.entry(position) ?? Promise.resolve(this.#entries[position]));
  }

  /** Every row, ordered: for comparing two indexes. */
  dump(): readonly Omit<Filing, 'kind'>[] {
    return [...this.#rows]
      .flatMap(([key, rows]) => rows.map((row) => ({ key, ...row })))
      .sort((a, b) => (a.key === b.key ? a.node - b.node : a.key < b.key ? -1 : 1));
  }
}
