import { defineConfig } from 'vitest/config';

/** The long lane: leak tests over 10 000 operations, large inputs. */
export default defineConfig({
  test: {
    pool: 'forks',
    include: ['test/**/slow-*.test.ts'],
    testTimeout: 1_800_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
