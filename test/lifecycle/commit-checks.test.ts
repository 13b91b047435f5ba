import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMIT_CHECKS } from '../../src/audit/index.ts';
import { DENIALS } from '../../src/lifecycle/index.ts';

/** Where a refusal can come from while a change is applied: in the savepoint, so that it becomes the change's denial. */
const APPLYING = ['rows.ts', 'record-set.ts', 'record-mac.ts', 'apply-change.ts', 'tag-table.ts'];

describe('the checks of a commit', () => {
  it('are all in the one list that repetitions of decisions go by', () => {
    const store = new URL('../../src/store/', import.meta.url);
    const files = readdirSync(store).filter((file) => APPLYING.includes(file));
    expect(files.sort()).toEqual([...APPLYING].sort());
    const counters = new URL('../../src/tpm/quote/counters.ts', import.meta.url);
    const sources = [...files.map((file) => new URL(file, store)), counters];
    const checks = sources.flatMap((file) => {
      const text = readFileSync(file, 'utf8');
      return [...text.matchAll(/(?:refuse|new Refusal)\(\s*'([\w-]+)'/g)].map(([, check = '']) => check);
    });
    expect(checks).toContain('e17');
    expect(checks).toContain('record-stale');
    expect(checks.filter((check) => !COMMIT_CHECKS.has(check))).toEqual([]);
  });

  it('are denials that the one table knows', () => {
    expect([...COMMIT_CHECKS].filter((check) => !Object.hasOwn(DENIALS, check))).toEqual([]);
  });
});
