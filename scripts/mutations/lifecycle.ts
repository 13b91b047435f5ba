import type { Mutation } from '../lib/mutations.ts';

const test = 'test/lifecycle/decide.test.ts';
const stored = 'test/credential/authorities.test.ts';

/** Invariants 1, 2, 4, 6 and 7 in the decision; 9 in stored secrets. */
export const mutations: readonly Mutation[] = [
  {
    name: 'decision-answers-without-commit',
    file: 'src/lifecycle/prepared.ts',
    find: '!equalBytes(leaf, expected) || ',
    replace: '',
    test,
  },
  {
    name: 'decision-caller-host-not-compared',
    file: 'src/lifecycle/stages/request-stage.ts',
    find: 'if (!equalBytes(utf8(caller.hostId), utf8(hostId)))',
    replace: "if (caller.hostId === '')",
    test,
  },
  {
    name: 'decision-artifact-pcr-not-compared',
    file: 'src/lifecycle/stages/artifact-stage.ts',
    find: 'quoted === undefined || !equalBytes(quoted, expected)',
    replace: 'quoted?.length !== expected.length',
    test,
  },
  {
    name: 'decision-policy-denial-ignored',
    file: 'src/policy/cedar/engine.ts',
    find: 'if (allow && ids.length > 0) return ids;',
    replace: 'if (allow || ids.length <= 1) return ids;',
    test,
  },
  {
    name: 'decision-revocation-not-reread',
    file: 'src/lifecycle/decide.ts',
    find: '...stillNotRevoked(recording.notRevoked()),',
    replace: '',
    test,
  },
  {
    name: 'secret-not-compared-at-commit',
    file: 'src/lifecycle/stages/sealing-stage.ts',
    find: 'made.flatMap(({ precondition }) => precondition ?? [])',
    replace: 'made.flatMap(({ precondition }) => precondition ?? []).slice(0, 0)',
    test: 'test/attacks/revocation.test.ts',
  },
  {
    name: 'late-quote-taken-for-a-rollback',
    file: 'src/lifecycle/stages/quote-stage.ts',
    find: 'isOvertaken(question) ? lateLast(failures) : failures',
    replace: 'isOvertaken(question) ? failures : failures',
    test,
  },
  {
    name: 'late-quote-hides-what-it-says-of-the-host',
    file: 'src/lifecycle/stages/quote-stage.ts',
    find: "...failures.filter(({ check }) => check !== 'e17'),",
    replace: '',
    test,
  },
  {
    name: 'rollback-taken-for-a-late-quote',
    file: 'src/store/apply-change.ts',
    find: ' || next.challenged >= at) throw error;',
    replace: ') throw error;',
    test: 'test/store/store.test.ts',
  },
  {
    name: 'stored-place-not-authenticated',
    file: 'src/credential/stored.ts',
    find: '.u64(BigInt(version))',
    replace: '.u64(BigInt(version) * 0n)',
    test: stored,
  },
  {
    name: 'decision-of-inputs-that-are-not-kept',
    file: 'src/lifecycle/decide.ts',
    find: 'facts.inputs?.requireKeepable();',
    replace: '',
    test: 'test/lifecycle/decide.test.ts',
  },
];
