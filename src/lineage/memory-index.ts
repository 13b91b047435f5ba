import { parseLeaf } from '../audit/index.ts';
import { fileEntry } from './filing.ts';
import type { Filing, KnownOrigin } from './filing.ts';
import { isOrigin } from './keys.ts';
import type { IndexRow, LineageSource, RowQuery } from './ports.ts';

/**
 * The index of a log that is in memory: for an auditor who has all entries and trusts no verifier's index.
 * Entries are added in the log's order.
 */
export class MemoryLineage implements LineageSource {
  readonly #entries: Uint8Array[] = [];
  readonly #origins = new Map<string, KnownOrigin>();
  readonly #rows = new Map<string, IndexRow[]>();

  /** @throws Refusal `malformed` when the entry isn't one */
  async add(data: Uint8Array): Promise<void> {
    const leaf = parseLeaf(data);
    const rows = await fileEntry(leaf, { origin: (id) => Promise.resolve(this.#origins.get(id)) });
    for (const row of rows) this.#insert(row);
    const [id] = isOrigin(leaf) ? leaf.executions : [];
    if (isOrigin(leaf) && id !== undefined && !this.#origins.has(id))
      this.#origins.set(id, { position: this.#entries.length, parent: leaf.parent });
    this.#entries.push(data);
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
