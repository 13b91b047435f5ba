import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const page = read('docs/APPRAISAL.md');

/** What stands in quotes in the alternatives of a union type. */
function alternatives(file: string, type: string): string[] {
  const [, body = ''] = new RegExp(`export type ${type} =([^;]*);`).exec(read(file)) ?? [];
  return [...body.matchAll(/'([^']+)'/g)].map(([, name = '']) => name);
}

/** The members of an interface. */
function members(file: string, type: string): string[] {
  const [, body = ''] = new RegExp(`export interface ${type} \\{([^]*?)\\n\\}`).exec(read(file)) ?? [];
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, name = '']) => name);
}

const REFERENCES = 'src/appraisal/references.ts';
const named: readonly (readonly [string, readonly string[]])[] = [
  ['check', alternatives('src/appraisal/check.ts', 'AppraisalCheckId')],
  ['member of the reference values', members(REFERENCES, 'ReferenceValues')],
  ['member of eventLog', members(REFERENCES, 'EventLogReferences')],
  ['member of commandLine', members(REFERENCES, 'CommandLineRule')],
  ['member of ima.coverage', members(REFERENCES, 'CoverageReferences')],
  ['member of ima.rules', members('src/evidence/ima/rules.ts', 'ImaRules')],
];

describe('docs/APPRAISAL.md', () => {
  it.each(named)('names every %s', (_, names) => {
    expect(names.length).toBeGreaterThan(3);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });
});
