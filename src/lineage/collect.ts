import { indexKey, initiatorId } from './keys.ts';
import type { LineageKey, Origin } from './keys.ts';
import { revocationKey } from './filing.ts';
import type { IndexRow, LineageSource } from './ports.ts';
import { indexWrong, readEntry, readOrigin } from './read-entry.ts';
import type { FoundEntry } from './read-entry.ts';

/** Outcomes of one execution that are told: each state comes once. */
const MAX_OUTCOMES = 16;
/** Bytes of entries in one page, after which no further execution is begun. */
const PAGE_BYTES = 4 * 1024 * 1024;

/** Entries of one page, each once, with the size that they have together. */
export class EntryCollection {
  readonly #source: LineageSource;
  readonly #below: number;
  readonly #found = new Map<number, FoundEntry>();
  readonly #origins = new Map<string, FoundEntry<Origin>>();
  #bytes = 0;

  constructor(source: LineageSource, below: number) {
    this.#source = source;
    this.#below = below;
  }

  get full(): boolean {
    return this.#bytes > PAGE_BYTES;
  }

  /** In the log's order. */
  entries(): readonly FoundEntry[] {
    return [...this.#found.values()].sort((a, b) => a.position - b.position);
  }

  /** Rows of a key. */
  async rows(key: LineageKey, after: number, limit: number, newest = false): Promise<readonly IndexRow[]> {
    return await this.#source.rows(indexKey(key), {
      ...{ after, below: this.#below, limit },
      ...(newest ? { newest: true as const } : {}),
    });
  }

  /** An entry, read once. @throws Refusal `lineage-index` */
  async entry(position: number): Promise<FoundEntry> {
    const known = this.#found.get(position);
    if (known !== undefined) return known;
    const entry = await readEntry(this.#source, position);
    this.#found.set(position, entry);
    this.#bytes += entry.data.length;
    return entry;
  }

  /** The decision that made an execution; undefined when none did. @throws Refusal `lineage-index` */
  async origin(executionId: string): Promise<FoundEntry<Origin> | undefined> {
    const known = this.#origins.get(executionId);
    if (known !== undefined) return known;
    const [row] = await this.rows({ kind: 'execution', id: executionId }, -1, 1);
    return row === undefined ? undefined : await this.originAt(row.node, executionId);
  }

  /** The decision at a position, of the execution that is expected there. @throws Refusal `lineage-index` */
  async originAt(position: number, executionId?: string): Promise<FoundEntry<Origin>> {
    const origin = await readOrigin(this.#source, position);
    const [id = ''] = origin.leaf.executions;
    if (executionId !== undefined && id !== executionId)
      indexWrong('it names the decision of another execution', position);
    this.#origins.set(id, origin);
    if (!this.#found.has(position)) this.#bytes += origin.data.length;
    this.#found.set(position, origin);
    return origin;
  }

  /** Adds what was said about an execution later: its last renewal, its outcomes, its revocation. */
  async follow({ leaf }: FoundEntry<Origin>): Promise<void> {
    const [id = ''] = leaf.executions;
    await this.#add({ kind: 'renewal', id }, 1);
    await this.#add({ kind: 'outcome', id }, MAX_OUTCOMES);
    await this.#add(revocationKey({ kind: 'execution', id }), 1);
  }

  /**
   * Adds what an execution's standing rests on: how its host came in, who published its policy, and whether any of what
   * it depends on was revoked.
   */
  async explain({ leaf, position }: FoundEntry<Origin>): Promise<void> {
    const { hostId, policy, initiator, artifact, ak } = leaf;
    await this.#before({ kind: 'enrollment', id: hostId }, position);
    if (policy !== null) await this.#before({ kind: 'publication', id: policy.digest }, position);
    const subjects = [
      { kind: 'host', id: hostId },
      { kind: 'ak', id: ak },
      ...(artifact === null ? [] : [{ kind: 'artifact', id: artifact.digest }]),
      ...(initiator === null ? [] : [{ kind: 'initiator', id: initiatorId(initiator) }]),
      ...(policy === null ? [] : [{ kind: 'policy', id: policy.digest }]),
      ...leaf.dependencies.filter(({ kind }) => kind === 'signer' || kind === 'authority'),
      ...leaf.dependencies.flatMap(({ kind, id }) => (kind === 'ek-root' ? [{ kind: 'ek-ca', id }] : [])),
    ] as const;
    // What is not a subject that can be revoked has no entry under this key.
    for (const subject of subjects)
      await this.#add(revocationKey(subject as Parameters<typeof revocationKey>[0]), 1);
  }

  async #add(key: LineageKey, limit: number): Promise<void> {
    for (const { node } of await this.rows(key, -1, limit, true)) await this.entry(node);
  }

  /** The newest entry of a key before a position: what held then. */
  async #before(key: LineageKey, position: number): Promise<void> {
    const [row] = await this.#source.rows(indexKey(key), {
      ...{ after: -1, below: Math.min(this.#below, position), limit: 1, newest: true },
    });
    if (row !== undefined) await this.entry(row.node);
  }
}
