import { afterAll, describe, expect, it } from 'vitest';
import { compileImaRules, digestEntries, verifyIma, verifyImaWith } from '../../../src/evidence/index.ts';
import type { EntryBatch, EntryDigester, ImaQuestion } from '../../../src/evidence/index.ts';
import { ImaWorkers } from '../../../src/server/ima/ima-workers.ts';
import {
  BOOT,
  bootAggregate,
  file,
  listOf,
  quoted,
  replayed,
  ruleDigest,
  rules,
  violation,
} from '../../support/ima.ts';

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
