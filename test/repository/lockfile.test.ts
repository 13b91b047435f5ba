import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string> | undefined>;
const pinned = (['dependencies', 'optionalDependencies', 'devDependencies'] as const).flatMap((kind) =>
  Object.entries(manifest[kind] ?? {}),
);

it('package-lock.json records no download addresses', () => {
  expect(read('package-lock.json')).not.toContain('"resolved"');
});

it('every dependency is pinned to an exact version', () => {
  expect(pinned.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});

it('every dependency has a line in docs/DEPENDENCIES.md with its version', () => {
  const text = read('docs/DEPENDENCIES.md');
  // Prettier pads the cells of a table.
  const cells = new Set([...text.matchAll(/^\| (\S+ \S+) +\|/gm)].map((match) => match[1]));
  expect(pinned.filter(([name, version]) => !cells.has(`${name} ${version}`))).toEqual([]);
});
