import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** The files that take the longest, most of it waiting: begun first, none of them is what all wait for at the end. */
const LONGEST = [
  'attacks/revoked-processes',
  'attacks/revoked-kinds',
  'agent/witnessed',
  'repository/package',
  'faults/kill',
  'e2e/delegation',
  'attacks/delegation',
  'e2e/daemon',
  'e2e/measured',
  'server/policy',
  'repository/quickstart',
  'server/decision',
  'agent/rotation',
].map((name) => `/test/${name}.test.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return at === -1 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/**/slow-*.test.ts', 'node_modules/**'],
    // ffi-napi crashes when a worker thread that loaded it ends, so tests run in forked processes.
    pool: 'forks',
    // Files share a process one after the other: to load all modules again for each took as long as the tests.
    isolate: false,
    // Many tests wait for processes and deadlines, so one more than there are cores.
    maxWorkers: availableParallelism() + 1,
    sequence: { sequencer: LongestFirst },
    testTimeout: 60_000,
    hookTimeout: 60_000,
    coverage: { provider: 'v8', include: ['src/**', 'native/**'], reportsDirectory: 'coverage' },
  },
});
