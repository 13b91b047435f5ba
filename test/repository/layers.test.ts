import path from 'node:path';
import { describe, expect, it } from 'vitest';
// @ts-expect-error the lint rule is plain JavaScript
import { importProblem as untyped } from '../../scripts/lint/layers.js';

const importProblem = untyped as (
  ...of: readonly [from: string, specifier: string, root: string, isType: boolean]
) => string | undefined;
const ROOT = path.resolve(import.meta.dirname, '../..');
const problem = (from: string, specifier: string, isType = false) =>
  importProblem(path.join(ROOT, from), specifier, ROOT, isType);

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
    ['src/testing/swtpm.ts', '../../native/process-gate.ts'],
    ['src/authorization/status-list.ts', 'node:zlib'],
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
    ['src/gateway/run.ts', '../../native/index.ts'],
    ['src/agent/other.ts', '../../native/tpm.ts'],
    ['src/store/x.ts', '../../native/process-gate.ts'],
    ['src/base/reader.ts', 'node:zlib'],
    ['src/tpm/name.ts', 'node:util'],
    ['native/tpm.ts', '../src/x509/index.ts'],
    ['native/tpm.ts', 'fastify'],
  ])('%s may not import %s', (from, specifier) => {
    expect(problem(from, specifier)).toBeTypeOf('string');
  });

  it('types of native may be known from layer 7 on, and no sooner', () => {
    expect(problem('src/cli/up/by-hand.ts', '../../../native/index.ts', true)).toBeUndefined();
    expect(problem('src/store/x.ts', '../../native/index.ts', true)).toBeTypeOf('string');
  });

  it('a new folder needs a layer', () => {
    expect(() => problem('src/nowhere/x.ts', '../base/index.ts')).toThrow('no layer');
  });
});
