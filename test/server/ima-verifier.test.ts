import { afterAll, describe, expect, it } from 'vitest';
import { compileImaRules, verifyIma } from '../../src/evidence/index.ts';
import type { ImaQuestion } from '../../src/evidence/index.ts';
import { ImaVerifier } from '../../src/server/ima/ima-verifier.ts';
import { BOOT, bootAggregate, file, listOf, quoted, replayed, rules } from '../support/ima.ts';
import { expectRejection } from '../support/refusals.ts';

const MIB = 1024 * 1024;
const ENTRIES = [
  bootAggregate(),
  ...Array.from({ length: 24_000 }, (_, i) => file(`/usr/lib/f${String(i)}`, `c${String(i)}`)),
];
const LIST = listOf(ENTRIES);
const question = (entries: typeof ENTRIES): ImaQuestion => ({
  pcrs: quoted({ sha256: replayed(entries, 'sha256') }),
  boot: BOOT,
  rules: compileImaRules(rules({})),
});

const QUESTION = question(ENTRIES);

/** How often the event loop went round until a promise was settled. */
async function turnsDuring(promise: Promise<unknown>): Promise<number> {
  let turns = 0;
  const state = { settled: false };
  const done = promise.finally(() => (state.settled = true));
  while (!state.settled) {
    await new Promise(setImmediate);
    turns++;
  }
  await done;
  return turns;
}

describe('IMA lists in decisions', () => {
  const verifier = new ImaVerifier();
  afterAll(() => verifier.close());

  it('of some megabytes let the event loop go round, and give what one turn gives', async () => {
    expect(LIST.length).toBeGreaterThan(2 * MIB);
    const verified = verifier.verify(LIST, QUESTION);
    expect(await turnsDuring(verified)).toBeGreaterThan(3);
    const { findings, state } = verifyIma([LIST], QUESTION);
    expect((await verified).findings).toEqual(findings);
    expect((await verified).state).toEqual(state);
  });

  it('that are small are verified at once', async () => {
    const few = ENTRIES.slice(0, 100);
    const verified = verifier.verify(listOf(few), question(few));
    expect(await turnsDuring(verified)).toBe(1);
    expect((await verified).consumed).toBe(100);
  });

  it('are refused for the same reasons, small or large', async () => {
    const other = question(ENTRIES.slice(0, 50).reverse());
    await expectRejection('ima-behind-quote', verifier.verify(LIST, other));
    await expectRejection('ima-behind-quote', verifier.verify(listOf(ENTRIES.slice(0, 100)), other));
    await expectRejection('malformed', verifier.verify(LIST.slice(0, -1), QUESTION));
  });

  it('need no thread that was never started', async () => {
    await expect(new ImaVerifier().close()).resolves.toBeUndefined();
  });
});
