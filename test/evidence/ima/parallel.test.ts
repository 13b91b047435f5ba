import { afterAll, describe, expect, it } from 'vitest';
import {
  STRIDE,
  compileImaRules,
  digestEntries,
  frameEntries,
  isPlausible,
  verifyIma,
  verifyImaWith,
} from '../../../src/evidence/index.ts';
import type { DigestedEntries, EntryBatch, EntryDigester, ImaQuestion } from '../../../src/evidence/index.ts';
import { COLUMN, FLAG } from '../../../src/evidence/ima/entries.ts';
import { ImaWorkers } from '../../../src/server/ima/ima-workers.ts';
import {
  BOOT,
  bootAggregate,
  buffer,
  file,
  listOf,
  quoted,
  replayed,
  ruleDigest,
  rules,
  violation,
} from '../../support/ima.ts';

const LONG = { timeout: 30_000 };
const COUNT = 10_000;
const ENTRIES = [
  bootAggregate(),
  ...Array.from({ length: COUNT }, (_, i) =>
    i % 1000 === 7 ? violation(`/v${i}`) : file(`/f${i}`, `c${i}`),
  ),
];
const LIST = listOf(ENTRIES);
const FILES = Object.fromEntries(
  Array.from({ length: COUNT / 2 }, (_, i) => [`/f${i}`, [ruleDigest(`c${i}`)]]),
);
const ask = (pcrs: ImaQuestion['pcrs'], files: Record<string, string[]> = FILES): ImaQuestion => ({
  pcrs,
  boot: BOOT,
  rules: compileImaRules(rules({ files })),
});
const QUESTION = ask(
  quoted({ sha256: replayed(ENTRIES, 'sha256'), sha512: replayed(ENTRIES, 'sha512', 'padded') }),
);

function chunks(size: number, list = LIST): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let at = 0; at < list.length; at += size) out.push(list.slice(at, at + size));
  return out;
}

/** Takes its time, and has nothing in common with the memory of the caller. */
const slow: EntryDigester = {
  begin: (order) => {
    const batches: EntryBatch[] = [];
    return {
      depth: 5,
      batchBytes: 70_000,
      batchEntries: 300,
      get waiting() {
        return batches.length;
      },
      put: (batch) => {
        batches.push({ ...batch, bytes: batch.bytes.slice() });
      },
      take: async () => {
        const { bytes, base } = batches.shift()!;
        await new Promise((resolve) => setTimeout(resolve, base % 7));
        return { bytes, base, digested: digestEntries(bytes, { ...order, base }) };
      },
      end: () => undefined,
    };
  },
};

describe('verification with the hashing done elsewhere', () => {
  const workers = new ImaWorkers(2);
  afterAll(() => workers.close());
  const whole = verifyIma([LIST], QUESTION);

  it.each<[string, EntryDigester]>([
    ['another digester', slow],
    ['worker threads', workers],
  ])('by %s gives the same', async (_name, digester) => {
    expect(whole.findings).toMatchObject({ files: 9_990, known: 4_995, violations: { total: 10 } });
    for (const size of [LIST.length, 100_000]) {
      expect(await verifyImaWith(chunks(size), QUESTION, digester)).toEqual(whole);
    }
  });

  it('goes on with other rules, and with none that are known', async () => {
    for (const files of [{ '/f1': [ruleDigest('c1')] }, {}, FILES]) {
      const question = ask(QUESTION.pcrs, files);
      expect(await verifyImaWith([LIST], question, workers)).toEqual(verifyIma([LIST], question));
    }
  });

  it('refuses what is refused otherwise, with the same words', async () => {
    const changed = LIST.slice();
    changed[600_000] = (changed[600_000] ?? 0) ^ 1;
    let expected: unknown;
    try {
      verifyIma([changed], QUESTION);
    } catch (error) {
      expected = error;
    }
    for (const digester of [workers, slow]) {
      await expect(verifyImaWith([changed], QUESTION, digester)).rejects.toEqual(expected);
      await expect(verifyImaWith([LIST.slice(0, -1)], QUESTION, digester)).rejects.toMatchObject({
        check: 'malformed',
      });
      await expect(verifyImaWith([], QUESTION, digester)).rejects.toMatchObject({ check: 'ima-empty' });
    }
  });

  it('has threads that do their part', async () => {
    const before = workers.digested;
    // The first lists may be through before a thread has started.
    await expect
      .poll(async () => {
        await verifyImaWith([LIST], QUESTION, workers);
        return workers.digested;
      }, LONG)
      .toBeGreaterThan(before);
  });

  it('has several lists at a time, each with its own rules', async () => {
    const questions = [FILES, {}, { '/f1': [ruleDigest('c1')] }].map((files) => ask(QUESTION.pcrs, files));
    const verified = await Promise.all(questions.map((one) => verifyImaWith(chunks(90_000), one, workers)));
    expect(verified).toEqual(questions.map((one) => verifyIma([LIST], one)));
  });

  it('reads an entry that is longer than a batch', async () => {
    const long = [bootAggregate(), file('/a', 'a'), buffer('long', new Uint8Array(600_000)), file('/b', 'b')];
    const question = ask(quoted({ sha256: replayed(long, 'sha256') }));
    const expected = verifyIma([listOf(long)], question);
    expect(expected.findings.files).toBe(2);
    for (const size of [50_000, 10_000_000]) {
      expect(await verifyImaWith(chunks(size, listOf(long)), question, workers)).toEqual(expected);
    }
  });

  it('does without threads that have ended', async () => {
    const gone = new ImaWorkers(1);
    await gone.close();
    expect(await verifyImaWith([LIST], QUESTION, gone)).toEqual(whole);
    await gone.close();
  });

  it('takes what a thread had when it ended', async () => {
    const ending = new ImaWorkers(1);
    const verified = verifyImaWith([LIST], QUESTION, ending);
    await ending.close();
    expect(await verified).toEqual(whole);
  });
});

describe('a thread that says what is not so', () => {
  const bytes = LIST.slice(0, frameEntries(LIST, 0, 1000).consumed);
  const { known } = QUESTION.rules;
  const order = { banks: ['sha256'] as const, base: 0, known };
  const batch = { bytes, base: 0, count: 1000 };
  const row = (entry: number, column: keyof typeof COLUMN): number => entry * STRIDE + COLUMN[column];

  it.each<[string, (digested: DigestedEntries) => DigestedEntries | undefined]>([
    ['of the number of entries', (digested) => ({ ...digested, count: 999 })],
    ['of the bytes', (digested) => ({ ...digested, consumed: digested.consumed - 1 })],
    ['of a template', ({ table }) => void (table[row(5, 'template')] = 1)],
    ['of an entry that isn’t known', ({ table }) => void (table[row(0, 'flags')] = FLAG.known)],
    ['of which one is known', ({ table }) => void (table[row(5, 'known')]! += 1)],
    ['of a known one that there isn’t', ({ table }) => void (table[row(5, 'known')] = 1e9)],
    ['of a digest', ({ digests }) => void (digests.sha256![5 * 8] = 0)],
    ['of all digests', (digested) => ({ ...digested, digests: {} })],
  ])('%s is not believed', (_name, lie) => {
    const digested = digestEntries(bytes, order);
    expect(digested.table[row(5, 'flags')]).toBe(FLAG.known);
    expect(isPlausible(batch, digested, known)).toBe(true);
    expect(isPlausible(batch, lie(digested) ?? digested, known)).toBe(false);
  });

  it('of a digest that no rule lists is caught by the quote', async () => {
    const lying: EntryDigester = {
      begin: (given) => {
        const lane = slow.begin(given);
        return Object.assign(Object.create(lane) as typeof lane, {
          take: async () => {
            const taken = await lane.take();
            const { sha256 } = taken.digested.digests;
            // A second pass, after this one failed, asks for no digests.
            if (taken.base > 900_000) sha256?.set([0], 3);
            return taken;
          },
        });
      },
    };
    const question = ask(quoted({ sha256: replayed(ENTRIES, 'sha256') }));
    await expect(verifyImaWith([LIST], question, lying)).rejects.toMatchObject({ check: 'ima-behind-quote' });
  });
});
