import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Mutation } from '../../scripts/lib/mutations.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const FOLDER = path.join(ROOT, 'scripts/mutations');

/** The long lane runs them; that each still has its place is known at once. */
describe.each(readdirSync(FOLDER))('the mutations of %s', (file) => {
  it('each name a text that is in its file exactly once, and a test that exists', async () => {
    const { mutations } = (await import(pathToFileURL(path.join(FOLDER, file)).href)) as {
      mutations: readonly Mutation[];
    };
    expect(mutations.length).toBeGreaterThan(0);
    const stale = mutations.filter(({ file: patched, find, replace, test }) => {
      const times = readFileSync(path.join(ROOT, patched), 'utf8').split(find).length - 1;
      return times !== 1 || find === replace || !existsSync(path.join(ROOT, test));
    });
    expect(stale.map(({ name }) => name)).toEqual([]);
  });
});
