import { describe, expect, it } from 'vitest';
import type { TileReader } from '../../src/audit/index.ts';
import { lostEntries } from '../../src/cli/lost-entries.ts';
import type { KnownHead } from '../../src/cli/lost-entries.ts';

/** What was signed of a log that a copy has only a part of, so that nothing but what is known says what it was. */

const no: TileReader = { readTiles: () => Promise.reject(new Error('it has none of them')) };
const copy = { size: 100n, tiles: no };
const head = (where: string, size: bigint, digit: number): KnownHead => ({
  ...{ source: 'checkpoint', where },
  head: { origin: 'example.org/log', size, root: new Uint8Array(32).fill(digit) },
});
const known = (...heads: readonly KnownHead[]) => ({ heads, mark: undefined, doubts: [] });

describe('heads of a log that are known', () => {
  it('are of two histories when two of one size differ: whoever has the key has shown two logs', async () => {
    const two = known(head('the high-water file', 120n, 1), head('host-7', 130n, 3), head('host-8', 120n, 2));
    const { lost, forked } = await lostEntries(copy, two);
    expect(forked).toEqual([
      'the high-water file and host-8 have 120 entries each, of two histories: the log’s key signed both',
    ]);
    expect(lost).toEqual(expect.arrayContaining(['host-7 has 130 entries, the backup 100', ...forked]));
  });

  it('are of one where they are the same, or of other sizes', async () => {
    const one = known(head('a', 120n, 1), head('b', 120n, 1), head('c', 121n, 2));
    expect((await lostEntries(copy, one)).forked).toEqual([]);
  });
});
