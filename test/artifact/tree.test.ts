import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TREE_LIMITS, treeManifest } from '../../src/artifact/index.ts';
import type { TreeEntry } from '../../src/artifact/index.ts';
import { toHex, utf8 } from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

let inode = 0;
const sha256 = (text: string) => new Uint8Array(createHash('sha256').update(text).digest());
const file = (path: string, content = path, mode = 0o644): TreeEntry => ({
  path: utf8(path),
  type: 'file',
  mode,
  size: content.length,
  sha256: sha256(content),
  links: { count: 1, inode: String(inode++) },
});
const directory = (path: string, mode = 0o755): TreeEntry => ({ path: utf8(path), type: 'directory', mode });
const link = (path: string, target: string): TreeEntry => ({
  path: utf8(path),
  type: 'link',
  target: utf8(target),
});
const text = (entries: TreeEntry[]) => Buffer.from(treeManifest(entries).manifest).toString('utf8');

describe('the canonical manifest', () => {
  it('is what docs/ARTIFACTS.md describes', () => {
    const entries = [file('bin/run', '#!/bin/sh\n', 0o755), directory('bin'), link('start', 'bin/run')];
    const { manifest, files, bytes } = treeManifest(entries);
    expect(Buffer.from(manifest).toString('utf8')).toBe(
      'sealgate-tree/v1\0' +
        'dir\x000755\0bin\0' +
        `file\x000755\x0010\0${toHex(sha256('#!/bin/sh\n'))}\0bin/run\0` +
        'link\0bin/run\0start\0',
    );
    expect({ files, bytes }).toEqual({ files: 1, bytes: 10 });
  });

  it('is in bytewise order whatever order the walker has', () => {
    // UTF-16 order would put U+FF5E after the emoji; bytes put it before. '-' and '.' sort before '/'.
    const paths = ['a', 'a-b', 'a.c', 'a/d', 'b', 'ä', '～', '😀'];
    const entries = paths.map((path) => (path === 'a' ? directory(path) : file(path)));
    const names = text(entries.toReversed())
      .split('\0')
      .filter((part) => paths.includes(part));
    expect(names).toEqual(paths);
    fc.assert(
      fc.property(fc.shuffledSubarray(entries, { minLength: entries.length }), (shuffled) => {
        expect(text(shuffled)).toBe(text(entries));
      }),
    );
  });

  it('changes with every fact of every entry', () => {
    const base = [directory('d'), file('d/f'), link('l', 'd/f')];
    const variants = [
      [directory('d', 0o700), file('d/f'), link('l', 'd/f')],
      [directory('d'), file('d/f', 'd/f', 0o755), link('l', 'd/f')],
      [directory('d'), file('d/f', 'other'), link('l', 'd/f')],
      [directory('d'), file('d/g', 'd/f'), link('l', 'd/f')],
      [directory('d'), file('d/f'), link('l', 'd')],
      [directory('d'), file('d/f'), link('m', 'd/f')],
      [directory('d'), file('d/f')],
      [directory('d'), file('d/f'), link('l', 'd/f'), directory('e')],
      [directory('d'), file('d/f'), file('l', 'd/f')],
    ];
    const all = [base, ...variants].map(text);
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('what a tree may not hold', () => {
  it.each(['socket', 'FIFO', 'block device', 'character device'])('a %s', (kind) => {
    expectRefusal('artifact-type', () => treeManifest([file('f'), { path: utf8('x'), type: 'other', kind }]));
  });

  it.each([0o4755, 0o2755, 0o6755])('set-ID bits (mode %o) on files and directories', (mode) => {
    expectRefusal('artifact-setuid', () => treeManifest([file('f', '', mode)]));
    expectRefusal('artifact-setuid', () => treeManifest([directory('d', mode), file('d/f')]));
  });

  it('the sticky bit is harmless and recorded', () => {
    expect(text([directory('d', 0o1777), file('d/f')])).toContain('dir\x001777\0d\0');
  });

  it('nothing at all, or no file', () => {
    expectRefusal('artifact-empty', () => treeManifest([]));
    expectRefusal('artifact-empty', () => treeManifest([directory('d'), link('l', 'd')]));
  });

  it.each(['', '/a', 'a/', 'a//b', './a', 'a/./b', '../a', 'a/..', 'a\0b', 'x'.repeat(TREE_LIMITS.path + 1)])(
    'the path %j',
    (path) => {
      expectRefusal('artifact-path', () => treeManifest([file(path)]));
    },
  );

  it('two entries of one name, and names that are not UTF-8', () => {
    expectRefusal('artifact-path', () => treeManifest([file('a'), file('a')]));
    const entry = { ...file('a'), path: new Uint8Array([0x61, 0xff]) };
    expectRefusal('artifact-path', () => treeManifest([entry]));
  });

  it('more entries than the limit', () => {
    const entry = file('a');
    const many = Array.from({ length: TREE_LIMITS.entries + 1 }, () => entry);
    expectRefusal('artifact-limit', () => treeManifest(many));
  });
});

describe('hard links', () => {
  const shared = (path: string, count: number): TreeEntry => ({
    ...(file(path, 'same') as TreeEntry & { type: 'file' }),
    links: { count, inode: 'shared' },
  });

  it('are fine when every name is inside', () => {
    expect(treeManifest([shared('a', 2), shared('b', 2)]).files).toBe(2);
  });

  it('are refused when a name is outside', () => {
    expectRefusal('artifact-hard-link', () => treeManifest([shared('a', 2), file('b')]));
    expectRefusal('artifact-hard-link', () => treeManifest([shared('a', 3), shared('b', 3)]));
  });
});

describe('symbolic links', () => {
  const inside = (...links: TreeEntry[]) =>
    treeManifest([directory('d'), directory('d/e'), file('d/e/f'), file('g'), ...links]).files;

  it.each([
    ['l', 'g'],
    ['l', './d//e/f'],
    ['l', 'd/../g'],
    ['l', '.'],
    ['d/e/l', '../../g'],
    ['d/e/l', '../..'],
    ['l', 'nowhere'],
    ['l', 'g/below-a-file'],
  ])('%s → %s stays inside', (path, target) => {
    expect(inside(link(path, target))).toBe(2);
  });

  it.each([
    ['l', '/etc/passwd'],
    ['l', '..'],
    ['l', '../x'],
    ['l', 'd/../../x'],
    ['d/e/l', '../../..'],
    ['l', 'nowhere/../../x'],
  ])('%s → %s leaves the root', (path, target) => {
    expectRefusal('artifact-link', () => inside(link(path, target)));
  });

  it('is followed as a kernel would: ".." goes up from where a link leads', () => {
    // As text x/../y is d/e/y; in truth x is the root, and its parent is outside.
    expectRefusal('artifact-link', () => inside(link('d/e/x', '../..'), link('d/e/l', 'x/../y')));
    expect(inside(link('x', 'd/e'), link('l', 'x/../../g'))).toBe(2);
    expectRefusal('artifact-link', () => inside(link('x', 'd'), link('l', 'x/../../g')));
  });

  it('circles, impossible and unreadable targets are refused', () => {
    expectRefusal('artifact-link', () => inside(link('a', 'b'), link('b', 'a')));
    expectRefusal('artifact-link', () => inside(link('a', 'a')));
    expectRefusal('artifact-link', () => inside(link('a', '')));
    expectRefusal('artifact-link', () => inside(link('a', 'x\0y')));
    expectRefusal('artifact-link', () => inside(link('a', 'x'.repeat(5000))));
    // 800 components, walked four times.
    expectRefusal('artifact-link', () => inside(link('a', `${'d/../'.repeat(800)}.`), link('b', 'a/a/a/a')));
    expectRefusal('artifact-link', () =>
      treeManifest([file('g'), { path: utf8('a'), type: 'link', target: new Uint8Array([0xff]) }]),
    );
  });

  it('a chain of links that doubles its length at each step ends at the bound', () => {
    // l0 → d/../g, l(n) → l(n-1)/../l(n-1)/..: without a bound 2^30 steps.
    const links = Array.from({ length: 30 }, (_, n) =>
      link(`l${String(n + 1)}`, `l${String(n)}/l${String(n)}/.`),
    );
    const before = process.cpuUsage().user;
    expectRefusal('artifact-link', () => inside(link('l0', '.'), ...links));
    expect(process.cpuUsage().user - before).toBeLessThan(2_000_000);
  });
});
