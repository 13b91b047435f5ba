import { EMPTY_EDGE, appendLeaves, leafHash, proveInclusion } from '../../src/audit/index.ts';
import type { TileReader } from '../../src/audit/index.ts';
import { MemoryLineage, answerQuestion } from '../../src/lineage/index.ts';
import type { ClaimedPage, LineagePage, LineageQuestion, LineageSource } from '../../src/lineage/index.ts';

/** A log in memory: entries, their index, their tree. */
export class TestLog {
  readonly entries: readonly Uint8Array[];
  readonly lineage: MemoryLineage;
  readonly tree: { readonly size: bigint; readonly root: Uint8Array };
  readonly #tiles: TileReader;

  private constructor(entries: readonly Uint8Array[], lineage: MemoryLineage) {
    this.entries = entries;
    this.lineage = lineage;
    const { root, tiles } = appendLeaves(EMPTY_EDGE, entries.map(leafHash));
    this.tree = { size: BigInt(entries.length), root };
    this.#tiles = {
      readTiles: (ids) =>
        Promise.resolve(
          ids.map(({ level, index, width }) => {
            const tile = tiles.find((one) => one.level === level && one.index === index);
            return tile?.bytes.slice(0, width * 32) ?? new Uint8Array();
          }),
        ),
    };
  }

  static async of(entries: readonly Uint8Array[]): Promise<TestLog> {
    const lineage = new MemoryLineage();
    for (const entry of entries) await lineage.add(entry);
    return new TestLog(entries, lineage);
  }

  question<Q extends Omit<LineageQuestion, 'size'>>(question: Q): Q & { readonly size: number } {
    return { ...question, size: this.entries.length };
  }

  async ask(
    question: Omit<LineageQuestion, 'size'>,
    source: LineageSource = this.lineage,
  ): Promise<LineagePage> {
    return await answerQuestion(source, this.question(question) as LineageQuestion);
  }

  /** A page with proofs, as a verifier sends it. */
  async prove(page: LineagePage): Promise<ClaimedPage & { entries: ClaimedPage['entries'][number][] }> {
    const entries: ClaimedPage['entries'][number][] = [];
    for (const { position, data } of page.entries) {
      const index = BigInt(position);
      entries.push({ index, data, proof: await proveInclusion(index, this.tree.size, this.#tiles) });
    }
    const found = page.found.map(({ decision, because }) => ({
      decision: BigInt(decision),
      because: BigInt(because),
    }));
    return { found, entries };
  }
}
