import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PAGE = readFileSync(path.join(ROOT, 'docs/THREAT_MODEL.md'), 'utf8');

/** Every `test/file: part of a title` of the page. */
const named = [...PAGE.matchAll(/`(test\/[^`:]+\.test\.ts): ([^`]+)`/g)].map(
  ([, file = '', title = '']) => [file, title] as const,
);

describe('docs/THREAT_MODEL.md', () => {
  it('begins with what is proved against whom, and names each invariant', () => {
    expect(PAGE).toMatch(/^# Threat model\n\n## What is proved, and against whom\n/);
    for (let i = 1; i <= 13; i++) expect(PAGE).toMatch(new RegExp(`^\\| ${String(i)} \\S`, 'm'));
    expect(named.length).toBeGreaterThan(60);
  });

  it.each(named)('%s has a test "%s"', (file, title) => {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    const titles = [
      ...text.matchAll(/(?:\b(?:describe|it|test)(?:\.each\([^\n]*?\))?|^ *\]\))\(\s*['`]([^\n]*?)['`],/gm),
    ];
    expect(titles.some(([, found = '']) => found.includes(title))).toBe(true);
  });

  it('has a test in each row of its tables of attacks', () => {
    const rows = PAGE.split('\n').filter(
      (line) => line.startsWith('| ') && /^\| (?:attack|invariant|who|-)/.exec(line) === null,
    );
    const attacks = rows.filter((line) => !PAGE.slice(0, PAGE.indexOf('## Invariants')).includes(line));
    for (const row of attacks) expect(row).toContain('`test/');
  });
});
