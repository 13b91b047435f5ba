import { defineConfig } from 'vitest/config';

/** Folders whose tests compute only: they share modules in a worker, since loading them took as long as the tests. */
const PURE = [
  'appraisal',
  'artifact',
  'audit',
  'authorization',
  'base',
  'evidence',
  'identity',
  'lineage',
  'tpm',
  'x509',
];
const files = (folders: readonly string[]): string[] => folders.map((name) => `test/${name}/**/*.test.ts`);
const exclude = ['test/**/slow-*.test.ts', 'node_modules/**'];

// ffi-napi crashes when a worker thread that loaded it ends, so tests run in forked processes.
export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many wait for processes and deadlines, so one more than the cores of a small machine.
    maxWorkers: 3,
    coverage: { provider: 'v8', include: ['src/**', 'native/**'], reportsDirectory: 'coverage' },
    projects: [
      { extends: true, test: { name: 'pure', include: files(PURE), exclude, isolate: false } },
      {
        extends: true,
        test: { name: 'system', include: ['test/**/*.test.ts'], exclude: [...exclude, ...files(PURE)] },
      },
    ],
  },
});
