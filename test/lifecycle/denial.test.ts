import path from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '../../src/base/index.ts';
import { DENIALS, DENIAL_STATUS, toDenial } from '../../src/lifecycle/denial.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');

/** True for `super(…)` in a class that extends Refusal. */
function isRefusalSuper(node: ts.Node): node is ts.CallExpression {
  if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.SuperKeyword) return false;
  const owner = ts.findAncestor(node, ts.isClassDeclaration);
  return (
    owner?.heritageClauses?.some((clause) => clause.types[0]?.expression.getText() === 'Refusal') ?? false
  );
}

/** Every check id that `refuse(id, …)`, `new Refusal(id, …)` or a subclass can be called with, and calls whose id is not literal. */
function collectCheckIds(): { ids: Map<string, string>; open: string[] } {
  const config = ts.getParsedCommandLineOfConfigFile(
    path.join(ROOT, 'tsconfig.build.json'),
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
  );
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {});
  const checker = program.getTypeChecker();
  const ids = new Map<string, string>();
  const open: string[] = [];
  const visit = (node: ts.Node): void => {
    const isRefusal =
      (ts.isCallExpression(node) && node.expression.getText() === 'refuse') ||
      (ts.isNewExpression(node) && node.expression.getText() === 'Refusal') ||
      isRefusalSuper(node);
    const [first] = isRefusal ? (node.arguments ?? []) : [];
    if (first !== undefined) {
      const source = node.getSourceFile();
      const where = `${path.relative(ROOT, source.fileName)}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
      const type = checker.getTypeAtLocation(first);
      for (const part of type.isUnion() ? type.types : [type]) {
        if (part.isStringLiteral()) ids.set(part.value, where);
        else open.push(where);
      }
    }
    ts.forEachChild(node, visit);
  };
  for (const source of program.getSourceFiles()) {
    // These pass ids on, of other threads and of a verifier; they make none.
    if (
      source.isDeclarationFile ||
      /src\/(?:base\/refusal|client\/verifier-refusal)\.ts$/.test(source.fileName)
    )
      continue;
    if (/\/(src|native)\//.test(source.fileName) && !source.fileName.includes('node_modules')) visit(source);
  }
  return { ids, open };
}

describe('the table of denials', () => {
  let found: ReturnType<typeof collectCheckIds>;
  beforeAll(() => {
    found = collectCheckIds();
  });

  it('has every check id that the code refuses with', () => {
    const missing = [...found.ids].filter(([id]) => !Object.hasOwn(DENIALS, id));
    expect(missing).toEqual([]);
  });

  it('has no entry that nothing uses', () => {
    expect(Object.keys(DENIALS).filter((id) => !found.ids.has(id))).toEqual([]);
  });

  it('is called with literal ids only', () => {
    expect(found.open).toEqual([]);
  });

  it('maps each entry to a known code and says what to do', () => {
    for (const [id, rule] of Object.entries(DENIALS)) {
      expect(Object.keys(DENIAL_STATUS), id).toContain(rule.code);
      expect(rule.remedy, id).toMatch(/^[A-Z].{10,}\.$/);
    }
  });
});

describe('toDenial', () => {
  it('puts checks of form into the stage where they failed', () => {
    const refusal = new Refusal('malformed', 'short', { offset: 3 });
    expect(toDenial(refusal)).toMatchObject({
      stage: 'request',
      code: 'malformed-request',
      check: 'malformed',
    });
    expect(toDenial(refusal, 'environment')).toMatchObject({ stage: 'environment', detail: { offset: 3 } });
  });

  it('reports every failed check of the stage', () => {
    const denial = toDenial(Refusal.join([new Refusal('malformed', 'a'), new Refusal('internal', 'b')]));
    expect(denial.check).toBe('malformed');
    expect(denial.detail['failed']).toEqual([
      { check: 'malformed', reason: 'a' },
      { check: 'internal', reason: 'b' },
    ]);
  });

  it('denies a check that it does not know as a fault of the program', () => {
    for (const check of ['no-such-check', 'toString', '__proto__']) {
      expect(toDenial(new Refusal(check, 'x'))).toMatchObject({ code: 'verifier-fault', check });
    }
  });
});
