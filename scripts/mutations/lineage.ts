import type { Mutation } from '../lib/mutations.ts';

const query = 'test/lineage/query.test.ts';
const exported = 'test/lineage/exports.test.ts';
const store = 'test/store/lineage.test.ts';

/** Lineage: a function of the log, an index that nobody believes, answers that are verified and bounded. */
export const mutations: readonly Mutation[] = [
  {
    name: 'lineage-denial-makes-an-execution',
    file: 'src/lineage/keys.ts',
    find: `leaf.purpose === 'execution' &&
    leaf.outcome === 'allow' &&`,
    replace: `leaf.purpose === 'execution' &&`,
    test: query,
  },
  {
    name: 'lineage-second-decision-of-an-id',
    file: 'src/lineage/filing.ts',
    find: 'if ((await earlier.origin(id)) !== undefined) return [];',
    replace: '',
    test: query,
  },
  {
    name: 'lineage-renewal-adds-nothing',
    file: 'src/lineage/filing.ts',
    find: 'rows.push(...keys.map((row) => ({ ...row, node: origin.position })));',
    replace: 'if (keys.length < 0) rows.push(own({ kind: "renewal", id }));',
    test: query,
  },
  {
    name: 'lineage-parent-after-child',
    file: 'src/lineage/query.ts',
    find: 'if (parent.position >= last.position)',
    replace: 'if (parent.position === -1)',
    test: query,
  },
  {
    name: 'lineage-chain-without-end',
    file: 'src/lineage/query.ts',
    find: 'if (chain.length === MAX_CHAIN) indexWrong',
    replace: 'if (chain.length === 1000) indexWrong',
    test: query,
  },
  {
    name: 'lineage-row-believed',
    file: 'src/lineage/query.ts',
    find: 'if (!reasonHolds(decisions, leaf, key))',
    replace: 'if (reasonHolds([], leaf, key))',
    test: query,
  },
  {
    name: 'lineage-stranger-below',
    file: 'src/lineage/query.ts',
    find: 'if (!chain.slice(1).some(({ position }) => position === top.position))',
    replace: 'if (chain.length === 0)',
    test: query,
  },
  {
    name: 'lineage-other-execution-at-row',
    file: 'src/lineage/collect.ts',
    find: 'if (executionId !== undefined && id !== executionId)',
    replace: 'if (executionId !== undefined && id === "")',
    test: query,
  },
  {
    name: 'lineage-page-without-byte-bound',
    file: 'src/lineage/collect.ts',
    find: 'return this.#bytes > PAGE_BYTES;',
    replace: 'return this.#bytes < 0;',
    test: query,
  },
  {
    name: 'lineage-proof-not-verified',
    file: 'src/lineage/verify-page.ts',
    find: 'verifyInclusion({ index, ...tree, leafHash: leafHash(data), proof });',
    replace: 'leafHash(data);',
    test: query,
  },
  {
    name: 'lineage-parents-not-needed',
    file: 'src/lineage/verify-page.ts',
    find: "refuse('lineage-incomplete', 'the answer lacks the parent of an execution', { parent: last.parent });",
    replace: 'return chain;',
    test: query,
  },
  {
    name: 'lineage-unasked-accepted',
    file: 'src/lineage/verify-page.ts',
    find: 'if (chain.some((one) => executionOf(one) === question.executionId)) return;',
    replace: 'return;',
    test: query,
  },
  {
    name: 'lineage-stranger-among-ancestors',
    file: 'src/lineage/verify-page.ts',
    find: 'if (!wanted.delete(index))',
    replace: 'if (!wanted.delete(index) && index === "")',
    test: query,
  },
  {
    name: 'lineage-result-of-another',
    file: 'src/lineage/appraised.ts',
    find: 'digest !== resultDigest(leaf)',
    replace: "digest === ''",
    test: exported,
  },
  {
    name: 'lineage-renewal-result-by-nothing',
    file: 'src/cli/lineage-reader.ts',
    find: 'results.set(index, readResult(leaf, jwt));',
    replace: 'results.set(index, isRenewal(leaf) ? { status: 2, vector: {} } : readResult(leaf, jwt));',
    test: 'test/cli/lineage.test.ts',
  },
  {
    name: 'lineage-renewal-result-untold',
    file: 'src/server/routes/lineage.ts',
    find: 'decisions.has(position) : isRenewal(leaf)',
    replace: 'decisions.has(position) : isRenewal(leaf) && decisions.size === 0',
    test: 'test/cli/lineage.test.ts',
  },
  {
    name: 'lineage-ek-ca-untold',
    file: 'src/lineage/collect.ts',
    find: "kind === 'ek-root' ? ",
    replace: "kind === 'ek-root' && id === '' ? ",
    test: 'test/attacks/revoked-kinds.test.ts',
  },
  {
    name: 'lineage-svg-not-escaped',
    file: 'src/lineage/svg.ts',
    find: '/[&<>"\'\\ufffe\\uffff]/g',
    replace: '/[\\ufffe\\uffff]/g',
    test: exported,
  },
  {
    name: 'lineage-dot-not-escaped',
    file: 'src/lineage/dot.ts',
    find: '.replace(/"/g, \'\\\\"\')',
    replace: '',
    test: exported,
  },
  {
    name: 'lineage-rebuild-keeps-false-rows',
    file: 'src/store/lineage-rebuild.ts',
    find: 'DELETE FROM lineage WHERE NOT EXISTS',
    replace: 'DELETE FROM lineage WHERE 0 AND NOT EXISTS',
    test: store,
  },
  {
    name: 'lineage-forged-origin-believed',
    file: 'src/store/lineage-index.ts',
    find: 'return executionOf(leaf) === executionId ?',
    replace: 'return executionOf(leaf) !== "" ?',
    test: store,
  },
  {
    name: 'lineage-entry-filed-at-another-place',
    file: 'src/store/lineage-index.ts',
    find: 'if (leaf?.index !== String(start + i)) continue;',
    replace: 'if (leaf === undefined) continue;',
    test: store,
  },
];
