import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
const OWN = 'as this project';
const isLicence = (file: string): boolean => path.basename(file).startsWith('LICENSE');

/** The rows of a NOTICE.md: the directories that each is about, and the cell that says their licences. */
function rows(folder: string): readonly { readonly names: readonly string[]; readonly licence: string }[] {
  const text = readFileSync(path.join(ROOT, folder, 'NOTICE.md'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| directory'))
    .map((line) => {
      const [, names = '', , licence = ''] = line.split('|').map((cell) => cell.trim());
      return { names: names.split(', '), licence };
    });
}

const filesIn = (folder: string): readonly string[] =>
  readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).sort();

describe.each(['test/data', 'share/ek-roots'])('%s', (folder) => {
  it('has a row in its NOTICE.md for each of its directories, and no other', () => {
    const directories = readdirSync(path.join(ROOT, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    expect(
      rows(folder)
        .flatMap(({ names }) => names)
        .sort(),
    ).toEqual(directories.sort());
  });

  it('has every licence file that a row names, and each row about others’ work names one', () => {
    for (const { names, licence } of rows(folder)) {
      const named = [...licence.matchAll(/`([^`]+)`/g)].map(([, file = '']) => file);
      expect(named.length > 0, names.join()).toBe(licence !== OWN);
      for (const file of named) {
        expect(isLicence(file), file).toBe(true);
        expect(existsSync(path.join(ROOT, folder, file)), file).toBe(true);
      }
    }
  });

  it('has no licence file that no row names', () => {
    const named = rows(folder)
      .map(({ licence }) => licence)
      .join();
    const licences = filesIn(folder).filter(isLicence);
    expect(licences.filter((file) => !named.includes(`\`${file}\``))).toEqual([]);
  });
});
