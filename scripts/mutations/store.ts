import type { Mutation } from '../lib/mutations.ts';

const test = 'test/store/store.test.ts';
const putBack = 'test/store/put-back.test.ts';

/** Invariants 1, 4 and 12, and PROTOCOL 8: what the sequencer reads again, takes once and signs. */
export const mutations: readonly Mutation[] = [
  {
    name: 'once-ids-can-be-taken-again',
    file: 'src/store/apply-change.ts',
    find: 'if (taken) spent ??=',
    replace: 'if (taken && kind === id) spent ??=',
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
    find: 'Math.max(this.#clock.now(), newest)',
    replace: 'this.#clock.now()',
    test,
  },
  {
    name: 'edge-kept-after-a-failed-commit',
    file: 'src/store/group-commit.ts',
    find: 'for (const { reject } of batch) reject(unavailable());',
    replace: 'for (const { resolve } of batch) resolve({ ok: true });',
    test,
  },
  {
    name: 'older-row-believed',
    file: 'src/store/record-set.ts',
    find: 'if (this.#isNewest(ref, mac)) return;',
    replace: 'if (this.#isNewest(ref, mac) || mac !== undefined) return;',
    test: putBack,
  },
  {
    name: 'deleted-row-believed',
    file: 'src/store/record-set.ts',
    find: 'if (this.#isNewest(ref, mac)) return;',
    replace: 'if (this.#isNewest(ref, mac) || mac === undefined) return;',
    test: putBack,
  },
  {
    name: 'deleted-nonce-works-again',
    file: 'src/store/apply-change.ts',
    find: 'rows.set.wasTaken({ kind, id }) || ',
    replace: '',
    test: putBack,
  },
  {
    name: 'rows-as-a-whole-not-compared-at-start',
    file: 'src/store/store-memory.ts',
    find: 'if (stale.length > 0)',
    replace: 'if (stale.length > 2)',
    test: putBack,
  },
  {
    name: 'head-without-its-mac',
    file: 'src/store/head.ts',
    find: 'if (!equalBytes(this.#mac(head), head.mac))',
    replace: 'if (head.mac.length === 0)',
    test: putBack,
  },
  {
    name: 'list-does-not-count',
    file: 'src/store/rows.ts',
    find: 'if (found !== known)',
    replace: 'if (found === undefined)',
    test: putBack,
  },
  {
    name: 'what-was-read-believed-after-another-wrote',
    file: 'src/store/rows.ts',
    find: 'if (version !== undefined && version === this.#outsideWrites) return;',
    replace: 'if (this.#outsideWrites !== undefined) return;',
    test: putBack,
  },
  {
    name: 'what-was-written-read-as-before',
    file: 'src/store/rows.ts',
    find: 'this.#known.delete(nameOf(ref));',
    replace: '',
    test: putBack,
  },
  {
    name: 'intermediate-ek-authority-not-looked-at',
    file: 'src/lifecycle/not-revoked.ts',
    find: 'const ids = ekRoot === null ? ekIssuers : [ekRoot, ...ekIssuers];',
    replace: 'const ids = ekRoot === null ? [] : [ekRoot, ...ekIssuers.slice(9)];',
    test: 'test/server/ek-authorities.test.ts',
  },
  {
    name: 'remembered-record-outlives-its-commit',
    file: 'src/server/remembered-records.ts',
    find: 'for (const reading of this.#reading.get(key) ?? []) reading.old = true;',
    replace: '',
    test: 'test/server/remembered-records.test.ts',
  },
];
