import { entryForFiling } from './entry-for-filing.ts';
import { fileEntry } from './filing.ts';
import type { Filing, KnownOrigin } from './filing.ts';
import { isOrigin } from './keys.ts';
import type { IndexRow, LineageSource, RowQuery } from './ports.ts';
import { executionOf } from './reason.ts';

/**
 * The index of a log that is in memory: for an auditor who has all entries and trusts no verifier's index.
 * Entries are added in the log's order.
 */
export class MemoryLineage implements LineageSource {
  readonly #entries: Uint8Array[] = [];
  readonly #origins = new Map<string, KnownOrigin>();
  readonly #rows = new Map<string, IndexRow[]>();

  async add(data: Uint8Array): Promise<void> {
    const position = this.#entries.length;
    this.#entries.push(data);
    const leaf = entryForFiling(data);
    if (leaf?.index !== String(position)) return;
    const rows = await fileEntry(leaf, { origin: (id) => Promise.resolve(this.#origins.get(id)) });
    for (const row of rows) this.#insert(row);
    if (isOrigin(leaf) && rows.length > 0)
      this.#origins.set(executionOf(leaf), { position, parent: leaf.parent });
  }

  #insert({ key, node, leaf }: Filing): void {
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

  entry(position: number): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#entries[position]);
  }

  /** Every row, ordered: for comparing two indexes. */
  dump(): readonly Filing[] {
    return [...this.#rows]
      .flatMap(([key, rows]) => rows.map((row) => ({ key, ...row })))
      .sort((a, b) => (a.key === b.key ? a.node - b.node : a.key < b.key ? -1 : 1));
  }
}
