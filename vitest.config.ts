import { defineConfig } from 'vitest/config';

// ffi-napi crashes when a worker thread that loaded it ends, so tests run in forked processes.
export default defineConfig({
  test: {
    pool: 'forks',
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/slow-*.test.ts', 'node_modules/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    coverage: { provider: 'v8', include: ['src/**', 'native/**'], reportsDirectory: 'coverage' },
  },
});
