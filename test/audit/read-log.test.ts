import { describe, expect, it } from 'vitest';
import {
  READ_NOTHING,
  encodeBundle,
  parseBundle,
  readLog,
  readingAfter,
  requireContinues,
} from '../../src/audit/index.ts';
import type { Checkpoint, LogSource, ReadingState } from '../../src/audit/index.ts';
import { canonicalJson, utf8 } from '../../src/base/index.ts';
import { expectRejection } from '../support/refusals.ts';
import { MemoryLog } from './support/log.ts';

const ORIGIN = 'example.org/log';
const epoch = '00'.repeat(16);

/** Entry number i, as a ledger appends it. */
const entry = (i: number, more: object = {}): Uint8Array =>
  utf8(
    canonicalJson({
      ...{ v: 1, kind: 'operator', action: 'test', target: 't', digest: null },
      by: { kind: 'verifier', id: 'v' },
      ...{ index: String(i), time: new Date(1_700_000_000_000 + i).toISOString(), epoch },
      ...more,
    }),
  );

/** A log of these entries, as somebody shows it. */
function shownLog(entries: readonly Uint8Array[]) {
  const log = new MemoryLog();
  const at = new Map<number, Checkpoint>();
  for (const [i, one] of entries.entries()) {
    log.append([one]);
    at.set(i + 1, { origin: ORIGIN, size: BigInt(i + 1), root: log.root });
  }
  const source: LogSource = {
    checkpoint: () => Promise.reject(new Error('not asked for')),
    tiles: log,
    bundle: ({ index, width }) => {
      const from = Number(index) * 256;
      return Promise.resolve(encodeBundle(entries.slice(from, from + width)));
    },
  };
  const head = (size = entries.length): Checkpoint => {
    const found = at.get(size);
    if (found === undefined) throw new Error('no such size');
    return found;
  };
  return { log, source, head };
}

const SIZE = 600;
const good = Array.from({ length: SIZE }, (_, i) => entry(i));

describe('a whole log', () => {
  it('is read from its entries, from its tiles alone, and from where a reading stopped', async () => {
    const { source, head } = shownLog(good);
    const states: ReadingState[] = [];
    const read = await readLog(source, head(), { compareTiles: true, onProgress: (one) => states.push(one) });
    expect(read).toEqual({ from: 0n, to: 600n, kinds: { operator: 600 } });
    expect(states.map(({ edge }) => edge.size)).toEqual([256n, 512n, 600n]);
    expect(await readLog(source, head(), { what: 'tiles' })).toMatchObject({ to: 600n, kinds: {} });
    for (const from of [READ_NOTHING, ...states])
      expect(await readLog(source, head(), { from })).toMatchObject({ from: from.edge.size, to: 600n });
    const from = await readingAfter(source, head(300));
    expect(await readLog(source, head(), { from })).toMatchObject({ from: 300n, kinds: { operator: 300 } });
    await requireContinues(source, head(300), head());
  });

  it('is refused when an entry is not the one that was signed', async () => {
    const { source, head } = shownLog(good);
    for (const changed of [0, 255, 256, 599]) {
      const shown: LogSource = {
        ...source,
        bundle: async (id) => {
          const entries = parseBundle(await source.bundle(id), id.width);
          const i = changed - Number(id.index) * 256;
          return encodeBundle(entries.map((one, at) => (at === i ? entry(changed, { target: 'x' }) : one)));
        },
      };
      await expectRejection('log-root', readLog(shown, head()));
      await expectRejection(
        changed < 512 ? 'log-tile' : 'log-root',
        readLog(shown, head(), { compareTiles: true }),
      );
    }
  });

  it('is refused when a tile is not that of its entries', async () => {
    const { source, head } = shownLog(good);
    for (const level of [0, 1]) {
      const shown: LogSource = {
        ...source,
        tiles: {
          readTiles: async (ids) => {
            const tiles = await source.tiles.readTiles(ids);
            return tiles.map((bytes, i) =>
              ids[i]?.level === level ? bytes.map((byte, at) => (at === 7 ? byte ^ 1 : byte)) : bytes,
            );
          },
        },
      };
      await expectRejection('log-tile', readLog(shown, head(), { compareTiles: true }));
      if (level === 1) await expectRejection('log-tile', readLog(shown, head(), { what: 'tiles' }));
      else await expectRejection('log-root', readLog(shown, head(), { what: 'tiles' }));
    }
  });

  it('is refused when entries are not in their place or go back in time', async () => {
    const swapped = shownLog(good.map((one, i) => (i === 10 ? entry(11) : i === 11 ? entry(10) : one)));
    await expectRejection('log-root', readLog(swapped.source, swapped.head()));
    const time = new Date(0).toISOString();
    const back = shownLog(good.map((one, i) => (i === 10 ? entry(10, { time }) : one)));
    await expectRejection('log-root', readLog(back.source, back.head()));
  });

  it('is refused when it does not continue what was read before', async () => {
    const { source, head } = shownLog(good);
    const other = shownLog(good.map((one, i) => (i === 5 ? entry(5, { target: 'x' }) : one)));
    await expectRejection('log-consistency', requireContinues(other.source, head(300), other.head()));
    await expectRejection('log-consistency', requireContinues(source, head(), head(300)));
    await expectRejection('log-origin', requireContinues(source, { ...head(300), origin: 'x' }, head()));
    await expectRejection('log-root', readingAfter(other.source, head(300)));
    await expectRejection(
      'log-root',
      readLog(source, other.head(), { from: await readingAfter(source, head()) }),
    );
    await expectRejection(
      'log-root',
      readLog(source, head(300), { from: await readingAfter(source, head()) }),
    );
  });
});
