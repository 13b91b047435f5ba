import path from 'node:path';
import { describe, expect, it } from 'vitest';
// @ts-expect-error the lint rule is plain JavaScript
import { importProblem as untyped } from '../../scripts/lint/layers.js';

const importProblem = untyped as (from: string, specifier: string, root: string) => string | undefined;
const ROOT = path.resolve(import.meta.dirname, '../..');
const problem = (from: string, specifier: string) => importProblem(path.join(ROOT, from), specifier, ROOT);

describe('the import table', () => {
  it.each([
    ['src/tpm/name.ts', '../base/index.ts'],
    ['src/tpm/name.ts', 'node:crypto'],
    ['src/tpm/quote/verify.ts', '../name.ts'],
    ['src/gateway/run.ts', '../agent/index.ts'],
    ['src/cli/main.ts', 'commander'],
    ['src/artifact/cms.ts', 'pkijs'],
    ['native/tpm.ts', '../src/tpm/index.ts'],
    ['native/ffi.ts', 'ffi-napi'],
    ['src/agent/open-tpm.ts', '../../native/index.ts'],
    ['test/base/x.test.ts', '../../src/cli/main.ts'],
  ])('%s may import %s', (from, specifier) => {
    expect(problem(from, specifier)).toBeUndefined();
  });

  it.each([
    ['src/base/reader.ts', '../tpm/index.ts'],
    ['src/base/reader.ts', 'commander'],
    ['src/tpm/name.ts', '../x509/index.ts'],
    ['src/tpm/name.ts', 'node:fs'],
    ['src/tpm/name.ts', 'node:net'],
    ['src/tpm/name.ts', '@peculiar/x509'],
    ['src/tpm/name.ts', '../../native/index.ts'],
    ['src/evidence/quote.ts', '../artifact/index.ts'],
    ['src/appraisal/ear.ts', '../policy/index.ts'],
    ['src/agent/run.ts', '../gateway/index.ts'],
    ['src/lifecycle/decide.ts', '../store/index.ts'],
    ['src/server/app.ts', 'commander'],
    ['src/client/http.ts', '../../native/index.ts'],
    ['native/tpm.ts', '../src/x509/index.ts'],
    ['native/tpm.ts', 'fastify'],
  ])('%s may not import %s', (from, specifier) => {
    expect(problem(from, specifier)).toBeTypeOf('string');
  });

  it('a new folder needs a layer', () => {
    expect(() => problem('src/nowhere/x.ts', '../base/index.ts')).toThrow('no layer');
  });
});
