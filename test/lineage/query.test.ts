import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseLeaf } from '../../src/audit/index.ts';
import type { LeafBody } from '../../src/audit/index.ts';
import {
  LISTED_BY,
  MemoryLineage,
  executionOf,
  indexKey,
  isOrigin,
  verifyPage,
  viewExecutions,
} from '../../src/lineage/index.ts';
import type { LineageQuestion, LineageSource } from '../../src/lineage/index.ts';
import { TestLog } from './proved.ts';
import {
  AK,
  HOST,
  POLICY,
  allowed,
  child,
  denied,
  ended,
  enrolled,
  entriesOf,
  entryOf,
  executionId,
  hexOf,
  published,
  renewed,
  revoked,
  sha,
} from './world.ts';

const alice = {
  ...{ issuer: 'https://people.example.org', subject: 'alice', token: sha('token') },
  claims: { team: 'a' },
};
const POLICY_2 = sha('policy-2');
const OTHER = hexOf('host-b');
/** 1 → 2 → 3, 1 → 4; 5 is alone on another host. */
const BODIES: readonly LeafBody[] = [
  enrolled('host-a'),
  enrolled('host-b', OTHER),
  published(),
  allowed(1, {
    initiator: alice,
    dependencies: [...allowed(1).dependencies, { kind: 'issuer', id: alice.issuer }],
  }),
  ended(1, 'running'),
  child(2, 1),
  child(3, 2, { hostId: OTHER }),
  child(4, 1, { dependencies: [{ kind: 'signer', id: 'SHA256:other' }] }),
  allowed(5, { hostId: OTHER, artifact: { name: 'import', digest: sha('import') } }),
  ended(3),
  renewed([1, 2], { policy: { digest: POLICY_2, version: 2, deciding: ['run'] } }),
  revoked('signer', 'SHA256:release'),
];
let log: TestLog;
beforeAll(async () => {
  log = await TestLog.of(entriesOf(BODIES));
});

const idOf = (position: number): string => {
  const leaf = parseLeaf(log.entries[position] ?? new Uint8Array());
  return isOrigin(leaf) ? executionOf(leaf) : '';
};
async function found(question: Omit<LineageQuestion, 'size'>): Promise<number[]> {
  const page = await log.ask(question);
  // Whatever is answered verifies.
  const verified = verifyPage(log.question(question) as LineageQuestion, await log.prove(page), log.tree);
  expect(verified.found.map(({ origin }) => Number(origin.index))).toEqual(
    page.found.map(({ decision }) => decision),
  );
  return page.found.map(({ decision }) => Number.parseInt(idOf(decision).slice(-4), 16));
}
const by = (kind: string, id: string, limit = 100, after: number | null = null) => ({
  ...({ ask: 'list', kinds: kind === '' ? [] : [kind], id, after, limit } as const),
});
const below = (n: number, limit = 100, after: number | null = null) => ({
  ...({ ask: 'descendants', executionId: executionId(n), after, limit } as const),
});

describe('an answer', () => {
  it('leads from an execution up to its origin, with what each hop rests on', async () => {
    expect(await found({ ask: 'ancestors', executionId: executionId(3) } as never)).toEqual([3, 2, 1]);
    const page = await log.ask({ ask: 'ancestors', executionId: executionId(3) } as never);
    const views = viewExecutions(page.entries.map(({ data }) => parseLeaf(data)));
    expect(views.map(({ executionId: id, state }) => [id, state])).toEqual([
      [executionId(1), 'running'],
      [executionId(2), 'issued'],
      [executionId(3), 'ended'],
    ]);
    expect(views[0]).toMatchObject({
      enrollment: { name: 'host-a', index: '0' },
      publication: { index: '2' },
      renewal: { index: '10' },
      revocations: [{ subject: { kind: 'signer' } }],
    });
    expect(views[2]).toMatchObject({ enrollment: { name: 'host-b' }, renewal: null });
  });

  it('leads down to everything that came of an execution, parents first', async () => {
    expect(await found(below(1))).toEqual([1, 2, 3, 4]);
    expect(await found(below(2))).toEqual([2, 3]);
    expect(await found(below(5))).toEqual([5]);
  });

  it.each<[string, string, number[]]>([
    ['host', HOST, [1, 2, 4]],
    ['host', OTHER, [3, 5]],
    ['signer', 'SHA256:release', [1, 2, 3, 5]],
    ['signer', 'SHA256:other', [4]],
    ['policy', POLICY, [1, 2, 3, 4, 5]],
    ['policy', POLICY_2, [1, 2]],
    ['artifact', sha('import'), [5]],
    ['artifact-name', 'import', [5]],
    ['initiator', 'https://people.example.org#alice', [1]],
    ['issuer', 'https://people.example.org', [1]],
    ['authority', 'authority-1', [1, 2, 3, 5]],
    ['ak', AK, [1, 2, 3, 4, 5]],
    ['ek-root', 'root-1', [1, 2, 3, 5]],
    ['reference-values', `${POLICY}/vm`, [1, 2, 3, 5]],
    ['build', 'test', [1, 2, 3, 5]],
    ['evidence', sha('quote 4'), [4]],
    ['secret', 'database', [1, 2, 3, 4, 5]],
    ['secret', 'database@3', [1, 2, 3, 4, 5]],
    ['secret', 'database@4', []],
    ['parent', executionId(1), [2, 4]],
    ['ancestor', executionId(1), [2, 3, 4]],
    ['', 'SHA256:other', [4]],
    ['', executionId(1), [2, 3, 4]],
    ['', 'nothing', []],
  ])('lists what rests on a %s %s', async (kind, id, executions) => {
    expect(LISTED_BY.some((one) => one === kind) || kind === '').toBe(true);
    expect(await found(by(kind, id))).toEqual(executions);
  });

  it('is the same in pages as whole', async () => {
    for (const question of [below(1), by('policy', POLICY), by('', AK)]) {
      const whole = await found(question);
      const parts: number[] = [];
      for (let after: number | null = null, more = true; more;) {
        const part: Omit<LineageQuestion, 'size'> = { ...question, limit: 1, after } as never;
        parts.push(...(await found(part)));
        after = (await log.ask(part)).next;
        more = after !== null;
      }
      expect(parts).toEqual(whole);
    }
  });

  it('tells nothing that is later than the tree it is proved in', async () => {
    const page = await log.ask({ ...by('policy', POLICY_2) });
    expect(page.found).toHaveLength(2);
    const early = { ...by('policy', POLICY_2), size: 10 } as LineageQuestion;
    const { answerQuestion } = await import('../../src/lineage/index.ts');
    expect((await answerQuestion(log.lineage, early)).found).toEqual([]);
    const ancestors = { ask: 'ancestors', executionId: executionId(3), size: 9 } as const;
    const { entries } = await answerQuestion(log.lineage, ancestors);
    expect(entries.every(({ position }) => position < 9)).toBe(true);
  });

  it('is empty for an execution that nobody allowed, and refuses pages without bounds', async () => {
    const page = await log.ask({ ask: 'ancestors', executionId: executionId(99) } as never);
    expect(page).toEqual({ found: [], entries: [], next: null });
    expect(await found(below(99))).toEqual([]);
    for (const limit of [0, 101, 1.5, Number.NaN])
      await expect(log.ask(below(1, limit))).rejects.toMatchObject({ check: 'lineage-page' });
    await expect(log.ask(by('colour', 'red'))).rejects.toMatchObject({ check: 'lineage-page' });
  });
});

describe('the index', () => {
  it('is a function of the log: a denied request that names another’s execution changes nothing', async () => {
    const bodies = [...BODIES, denied(1, { parent: executionId(5) }), denied(77)];
    const more = await TestLog.of(entriesOf(bodies));
    expect(more.lineage.dump()).toEqual(log.lineage.dump());
  });

  it('keeps the first decision of an id, whatever comes later', async () => {
    const more = await TestLog.of(entriesOf([...BODIES, allowed(1, { parent: executionId(5) })]));
    expect(more.lineage.dump()).toEqual(log.lineage.dump());
  });

  it('grows by one row with a renewal that brings nothing new', async () => {
    const renewals = Array.from({ length: 50 }, () => renewed([1]));
    const bodies = [allowed(1), ...renewals];
    const one = (await TestLog.of(entriesOf(bodies.slice(0, 2)))).lineage.dump().length;
    expect((await TestLog.of(entriesOf(bodies))).lineage.dump()).toHaveLength(one + 49);
  });

  it('of a whole log can be without its entries and without what nobody asks for', async () => {
    const { entry } = { entry: (position: number) => log.lineage.entry(position) };
    const lean = new MemoryLineage({ entries: { entry }, listedBy: [{ kind: 'host', id: OTHER }] });
    for (const data of log.entries) await lean.add(data);
    expect(lean.dump().length).toBeLessThan(log.lineage.dump().length / 3);
    expect(await log.ask(by('host', OTHER), lean)).toEqual(await log.ask(by('host', OTHER)));
    const up = { ask: 'ancestors', executionId: executionId(3) } as never;
    expect(await log.ask(up, lean)).toEqual(await log.ask(up));
  });

  it('has no way that is a circle: a parent comes first', async () => {
    const circle = await TestLog.of(entriesOf([child(1, 2), child(2, 1)]));
    await expect(
      circle.ask({ ask: 'ancestors', executionId: executionId(1) } as never),
    ).rejects.toMatchObject({
      check: 'lineage-index',
      reason: expect.stringContaining('a parent comes after its child') as string,
    });
    const long = Array.from({ length: 12 }, (_, i) => (i === 0 ? allowed(0) : child(i, i - 1)));
    await expect(
      (await TestLog.of(entriesOf(long))).ask({ ask: 'ancestors', executionId: executionId(11) } as never),
    ).rejects.toMatchObject({
      check: 'lineage-index',
      reason: expect.stringContaining('longer than delegation') as string,
    });
  });

  it('bounds a page of a huge fan-out', async () => {
    const many = await TestLog.of(
      entriesOf([allowed(0), ...Array.from({ length: 1000 }, (_, i) => child(i + 1, 0))]),
    );
    const page = await many.ask(below(0));
    expect(page.found).toHaveLength(100);
    expect(page.entries.length).toBeLessThan(110);
    expect(page.next).toBe(99);
    const last = await many.ask(below(0, 100, 950));
    expect(last).toMatchObject({ next: null });
    expect(last.found).toHaveLength(50);
    // Entries may be large: then a page has fewer executions.
    const large = Array.from({ length: 90 }, (_, i) =>
      child(i + 1, 0, { initiator: { ...alice, claims: { text: 'x'.repeat(58_000) } } }),
    );
    const heavy = await TestLog.of(entriesOf([allowed(0), ...large]));
    const cut = await heavy.ask(below(0));
    expect(cut.found.length).toBeLessThan(80);
    expect(cut.next).toBe(cut.found.at(-1)?.decision);
  });
});

describe('an index that somebody edited', () => {
  const forged = (
    key: { kind: string; id: string },
    rows: { node: number; leaf: number }[],
  ): LineageSource => ({
    rows: (wanted, query) =>
      wanted === indexKey(key as never)
        ? Promise.resolve(rows.filter(({ node }) => node > query.after))
        : log.lineage.rows(wanted, query),
    entry: (position) => log.lineage.entry(position),
  });
  const row = (node: number, leaf = node) => ({ node, leaf });

  it.each<[string, Parameters<typeof forged>, Omit<LineageQuestion, 'size'>]>([
    ['names an entry that is not there', [{ kind: 'host', id: HOST }, [row(500)]], by('host', HOST)],
    ['names an entry that decided nothing', [{ kind: 'host', id: HOST }, [row(0)]], by('host', HOST)],
    ['names a renewal as a decision', [{ kind: 'host', id: HOST }, [row(10)]], by('host', HOST)],
    ['names an execution on another host', [{ kind: 'host', id: HOST }, [row(8)]], by('host', HOST)],
    [
      'names a renewal of others as the reason',
      [{ kind: 'policy', id: POLICY_2 }, [row(8, 10)]],
      by('policy', POLICY_2),
    ],
    [
      'names another entry as the reason',
      [{ kind: 'policy', id: POLICY_2 }, [row(3, 4)]],
      by('policy', POLICY_2),
    ],
    [
      'gives an execution another’s decision',
      [{ kind: 'execution', id: executionId(3) }, [row(8)]],
      { ask: 'ancestors', executionId: executionId(3) } as never,
    ],
    [
      'hides a parent',
      [{ kind: 'execution', id: executionId(2) }, []],
      { ask: 'ancestors', executionId: executionId(3) } as never,
    ],
    ['puts an execution below a stranger', [{ kind: 'ancestor', id: executionId(2) }, [row(8)]], below(2)],
    [
      'calls a stranger a child',
      [{ kind: 'parent', id: executionId(1) }, [row(6)]],
      by('parent', executionId(1)),
    ],
  ])('is found out when it %s', async (_name, [key, rows], question) => {
    await expect(log.ask(question, forged(key, rows))).rejects.toMatchObject({ check: 'lineage-index' });
  });

  it('and so is an entry that was edited or moved', async () => {
    const edited = (data: Uint8Array): LineageSource => ({
      rows: (key, query) => log.lineage.rows(key, query),
      entry: (position) => (position === 3 ? Promise.resolve(data) : log.lineage.entry(position)),
    });
    const question = { ask: 'ancestors', executionId: executionId(1) } as never;
    for (const data of [new Uint8Array([123]), entryOf(allowed(1) as never, 4)])
      await expect(log.ask(question, edited(data))).rejects.toMatchObject({ check: 'lineage-index' });
  });
});

describe('a page that a verifier sends', () => {
  const ancestors = { ask: 'ancestors', executionId: executionId(3) } as const;
  const check = (question: object, page: Awaited<ReturnType<TestLog['prove']>>) => () =>
    verifyPage(log.question(question as never), page, log.tree);

  it('is refused when an entry isn’t in the log', async () => {
    const page = await log.prove(await log.ask(ancestors));
    const entries = page.entries.map((one) =>
      one.index === 3n ? { ...one, data: entryOf(allowed(1) as never, 3) } : one,
    );
    expect(check(ancestors, { ...page, entries })).toThrow(/log-inclusion/);
    const moved = page.entries.map((one) => (one.index === 3n ? { ...one, index: 4n } : one));
    expect(check(ancestors, { ...page, entries: moved })).toThrow(/log-inclusion/);
  });

  it('is refused when it lacks the way to the origin', async () => {
    const page = await log.prove(await log.ask(ancestors));
    const without = (index: bigint) => ({
      found: page.found.filter(({ decision }) => decision !== index),
      entries: page.entries.filter((one) => one.index !== index),
    });
    for (const index of [3n, 5n, 6n]) expect(check(ancestors, without(index))).toThrow(/lineage-incomplete/);
    const named = { found: page.found, entries: without(3n).entries };
    expect(check(ancestors, named)).toThrow(/lineage-incomplete/);
  });

  it('is refused when it has what was not asked for', async () => {
    const host = await log.prove(await log.ask(by('host', OTHER)));
    expect(check(by('host', OTHER), host)).not.toThrow();
    expect(check(by('host', HOST), host)).toThrow(/lineage-foreign/);
    const five = await log.prove(await log.ask(below(5)));
    expect(check(below(1), five)).toThrow(/lineage-foreign/);
    expect(check(by('signer', 'SHA256:nobody'), five)).toThrow(/lineage-foreign/);
    const up = await log.prove(await log.ask(ancestors));
    const more = { found: [...up.found, ...five.found], entries: [...up.entries, ...five.entries] };
    expect(check(ancestors, more)).toThrow(/no ancestor/);
    expect(check(ancestors, { ...up, found: up.found.slice(1) })).toThrow(/every ancestor/);
  });
});

describe('what entries say', () => {
  it('doesn’t depend on the order in which they come', () => {
    const leaves = log.entries.map(parseLeaf);
    const expected = viewExecutions(leaves);
    fc.assert(
      fc.property(fc.shuffledSubarray(leaves, { minLength: leaves.length }), (shuffled) => {
        expect(
          viewExecutions(
            [...shuffled, ...shuffled.slice(0, 3)].filter((one, i, all) => all.indexOf(one) === i),
          ),
        ).toEqual(expected);
      }),
    );
  });
});
