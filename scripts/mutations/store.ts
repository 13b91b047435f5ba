import type { Mutation } from '../lib/mutations.ts';

const test = 'test/store/store.test.ts';

/** Invariants 1, 4 and 12, and PROTOCOL 8: what the sequencer reads again, takes once and signs. */
export const mutations: readonly Mutation[] = [
  {
    name: 'once-ids-can-be-taken-again',
    file: 'src/store/apply-change.ts',
    find: 'if (numInsertedOrUpdatedRows !== 1n)',
    replace: 'if (numInsertedOrUpdatedRows === 7n)',
    test,
  },
  {
    name: 'preconditions-not-read-again',
    file: 'src/store/apply-change.ts',
    find: 'if (!holds) refuse',
    replace: 'if (holds === undefined) refuse',
    test,
  },
  {
    name: 'counters-may-go-back',
    file: 'src/store/apply-change.ts',
    find: 'if (last !== undefined && next.byOperator !== true)',
    replace: 'if (last === undefined && next.byOperator !== true)',
    test,
  },
  {
    name: 'row-mac-not-checked',
    file: 'src/store/record-mac.ts',
    find: 'if (!equalBytes(rowMac(key, row), Uint8Array.from(mac)))',
    replace: 'if (mac.length === 0)',
    test,
  },
  {
    name: 'row-mac-without-version',
    file: 'src/store/record-mac.ts',
    find: '.u32(row.version)',
    replace: '.u32(0)',
    test,
  },
  {
    name: 'time-follows-the-clock-back',
    file: 'src/store/sequencer.ts',
    find: 'Math.max(this.#clock.now(), head.time)',
    replace: 'this.#clock.now()',
    test,
  },
  {
    name: 'edge-kept-after-a-failed-commit',
    file: 'src/store/group-commit.ts',
    find: 'for (const { reject } of batch) reject(unavailable(reason));',
    replace: 'for (const { resolve } of batch) resolve({ ok: true });',
    test,
  },
];
