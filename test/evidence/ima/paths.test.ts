import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pathBytes, pathText } from '../../../src/evidence/index.ts';
import { GlobSet } from '../../../src/evidence/ima/glob.ts';
import { expectRefusal } from '../../support/refusals.ts';

const anyBytes = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1'));

describe('paths as text', () => {
  it.each([
    ['/usr/bin/sh', '/usr/bin/sh'],
    [Buffer.from('/caf\u00e9', 'utf8').toString('latin1'), '/caf\u00e9'],
    ['/caf\xe9', '/caf\\xe9'],
    ['/a\\b', '/a\\\\b'],
    ['/a\nb', '/a\nb'],
    [Buffer.from('/\ufffd', 'utf8').toString('latin1'), '/\ufffd'],
    ['\xc0\xaf', '\\xc0\\xaf'],
    ['\xed\xa0\x80', '\\xed\\xa0\\x80'],
    ['\xf5\x80\x80\x80', '\\xf5\\x80\\x80\\x80'],
    ['\xe2\x82', '\\xe2\\x82'],
  ])('%j is %j', (bytes, text) => {
    expect(pathText(bytes)).toBe(text);
    expect(pathBytes(text)).toBe(bytes);
  });

  it('lose nothing', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(pathBytes(pathText(bytes))).toBe(bytes);
      }),
    );
  });

  it.each(['\\', '\\q', '\\x4', '\\xzz', 'a\\', '\ud800'])('%j is no path', (text) => {
    expectRefusal('malformed', () => pathBytes(text));
  });
});

/** Matching by the definition, with every choice tried. */
function matches(pattern: string, path: string): boolean {
  if (pattern === '') return path === '';
  if (pattern.startsWith('**')) {
    return matches(pattern.slice(2), path) || (path !== '' && matches(pattern, path.slice(1)));
  }
  if (pattern.startsWith('*')) {
    if (matches(pattern.slice(1), path)) return true;
    return path !== '' && !path.startsWith('/') && matches(pattern, path.slice(1));
  }
  if (path === '') return false;
  const same = pattern.startsWith('?') ? !path.startsWith('/') : path.startsWith(pattern.slice(0, 1));
  return same && matches(pattern.slice(1), path.slice(1));
}

describe('path patterns', () => {
  it.each([
    ['/usr/bin/*', '/usr/bin/sh', true],
    ['/usr/bin/*', '/usr/bin/', true],
    ['/usr/bin/*', '/usr/bin', false],
    ['/usr/bin/*', '/usr/bin/a/b', false],
    ['/usr/**', '/usr/bin/a/b', true],
    ['/usr/**', '/usr', false],
    ['/usr/**/x', '/usr/x', false],
    ['/usr/**x', '/usr/x', true],
    ['**/x', '/a/b/x', true],
    ['/tmp', '/tmp', true],
    ['/tmp', '/tmp/x', false],
    ['/tmp', '/var/tmp', false],
    ['/a?c', '/abc', true],
    ['/a?c', '/a/c', false],
    ['/a.c', '/abc', false],
    ['/[ab]', '/a', false],
    ['/[ab]', '/[ab]', true],
    ['/a\\*', '/a*', true],
    ['/a\\*', '/ab', false],
    ['/a\\?', '/a?', true],
    ['/a\\\\b', '/a\\b', true],
    ['/caf\\xe9*', '/caf\xe9s', true],
    ['/a*', '/a\n', true],
    ['*', '', true],
  ])('%j and %j: %j', (pattern, path, expected) => {
    expect(new GlobSet([pattern]).match(path)).toEqual(expected ? [0] : []);
  });

  it.each(['', '***', '/a***', '\\', '\\q', 'x'.repeat(4097)])('%j is no pattern', (pattern) => {
    expectRefusal('malformed', () => new GlobSet([pattern]));
  });

  it('match by the definition, many at once', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '/', '*', '?', '**'), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join(''))
      .filter((text) => !text.includes('***'));
    const path = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 8 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        fc.array(pattern, { minLength: 1, maxLength: 6 }),
        fc.array(path, { maxLength: 6 }),
        (patterns, paths) => {
          const set = new GlobSet(patterns);
          for (const one of paths) {
            expect(set.match(one)).toEqual(patterns.flatMap((text, i) => (matches(text, one) ? [i] : [])));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('take steps in proportion to the path, for patterns that other matchers choke on', () => {
    const patterns = [
      `/${'a*'.repeat(30)}b`,
      `${'**a'.repeat(20)}b`,
      '/**/**/**/**x',
      `/${'?*'.repeat(20)}c`,
    ];
    const work = (length: number): number => {
      const set = new GlobSet(patterns);
      set.match(`/${'a'.repeat(length)}`);
      return set.work;
    };
    const short = work(500);
    expect(work(1000)).toBeLessThan(2.2 * short);
    expect(work(4000)).toBeLessThan(8.8 * short);
  });

  it('cost the same when they are matched again', () => {
    const set = new GlobSet(['/a*b*c*d', '/x/**']);
    set.match('/abcdabcdabcd');
    const before = set.work;
    set.match('/abcdabcdabcd');
    // One look per byte: every state is known.
    expect(set.work - before).toBe('/abcdabcdabcd'.length);
  });

  it('forget states when there are too many, and stay right', () => {
    const patterns = [`**a${'?'.repeat(14)}`];
    const set = new GlobSet(patterns);
    let path = '';
    let seed = 1;
    for (let i = 0; i < 6000; i++) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      path += seed % 3 === 0 ? 'a' : 'b';
    }
    for (let end = 100; end <= 6000; end += 1475) {
      expect(set.match(path.slice(0, end))).toEqual(path[end - 15] === 'a' ? [0] : []);
    }
    expect(set.match(path)).toEqual(new GlobSet(patterns).match(path));
  });
});
