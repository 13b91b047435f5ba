import { defineConfig, mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** The long lane: leak tests over 10 000 operations, large inputs. */
export default mergeConfig(
  { ...base, test: { ...base.test, include: [], exclude: ['node_modules/**'] } },
  defineConfig({
    test: { include: ['test/**/slow-*.test.ts'], testTimeout: 1_800_000, hookTimeout: 120_000 },
  }),
);
