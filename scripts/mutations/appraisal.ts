import type { Mutation } from '../lib/mutations.ts';

const test = 'test/appraisal/appraise.test.ts';

/** Invariants 5, 6 and 7: absent is a denial, all must be listed, a missing log is never nothing to check. */
export const mutations: readonly Mutation[] = [
  {
    name: 'appraisal-absent-fact-passes',
    file: 'src/appraisal/boot-checks.ts',
    find: "if (measurements === undefined) return [absent(id, 'executables', what, allowed.length)];",
    replace: 'if (measurements === undefined) return [];',
    test,
  },
  {
    name: 'appraisal-one-listed-image-is-enough',
    file: 'src/appraisal/boot-checks.ts',
    find: 'if (strange.length === 0) return [pass({ id, ...EXECUTABLE }, allowed.length, measurements.length)];',
    replace: 'if (strange.length < measurements.length) return [];',
    test,
  },
  {
    name: 'appraisal-missing-log-is-nothing-to-check',
    file: 'src/appraisal/appraise.ts',
    find: 'if (!needLog && !needIma) return broken;',
    replace: 'if (!needIma) return broken;',
    test,
  },
  {
    name: 'appraisal-of-a-log-that-breaks-a-rule',
    file: 'src/appraisal/appraise.ts',
    find: '...problemRefusals(eventLog?.problems ?? []), ',
    replace: '',
    test: 'test/appraisal/broken-rules.test.ts',
  },
  {
    name: 'broken-rule-leaves-the-vector-as-it-is',
    file: 'src/appraisal/appraise.ts',
    find: 'unsound: unsound.length > 0,',
    replace: 'unsound: unsound.length > 99,',
    test: 'test/appraisal/broken-rules.test.ts',
  },
  {
    name: 'appraisal-enforced-not-compared',
    file: 'src/appraisal/boot-checks.ts',
    find: ' && got.enforced === secureBoot.enforced',
    replace: '',
    test,
  },
  {
    name: 'appraisal-exempt-still-complete',
    file: 'src/appraisal/trust-vector.ts',
    find: 'measured && !exempt ? 2 : 3',
    replace: 'measured ? 2 : 3',
    test,
  },
  {
    name: 'appraisal-unknown-files-pass',
    file: 'src/appraisal/ima-checks.ts',
    find: 'if (total === 0) return pass(subject, 0, 0);',
    replace: 'if (total < 1000) return pass(subject, 0, 0);',
    test,
  },
  {
    name: 'verify-evidence-ignores-broken-rules',
    file: 'src/cli/evidence-examination.ts',
    find: '...problemRefusals(eventLog?.verified?.problems ?? []),',
    replace: '',
    test: 'test/cli/verify-evidence.test.ts',
  },
  {
    name: 'appraisal-lockdown-without-command-line-rule',
    file: 'src/appraisal/references.ts',
    find: "if (lockdown !== 'none') fail(",
    replace: "if (lockdown === 'integrity' && builtInPolicies.length > 99) fail(",
    test,
  },
  {
    name: 'appraisal-policies-empty-taken-as-not-asked',
    file: 'src/appraisal/ima-checks.ts',
    find: 'if (wanted.builtInPolicies === undefined && known.size === 0) return [];',
    replace: 'if (!wanted.builtInPolicies?.length && known.size === 0) return [];',
    test,
  },
  {
    name: 'appraisal-custom-policy-not-loaded-passes',
    file: 'src/appraisal/ima-checks.ts',
    find: 'if (wanted.builtInPolicies === undefined && known.size === 0) return [];',
    replace: 'if (wanted.builtInPolicies === undefined) return [];',
    test,
  },
];
