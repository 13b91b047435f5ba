import { describe, expect, it } from 'vitest';
import type { JsonValue, Shape } from '../../src/base/index.ts';
import { shape } from '../../src/base/index.ts';

class Failed extends Error {}
const run = <T>(of: Shape<T>, value: JsonValue): T =>
  of(value, 'x', (path, want) => {
    throw new Failed(`${path} is not ${want}`);
  });

describe('shapes', () => {
  const record = shape.object(
    { name: shape.text({ max: 3 }), n: shape.integer(1, 5) },
    { tags: shape.set(shape.text(), 2), kind: shape.oneOf('a', 'b'), on: shape.nullable(shape.boolean) },
  );

  it('give back what they accept', () => {
    const value = { name: 'abc', n: 5, tags: ['x', 'y'], kind: 'b', on: null };
    expect(run(record, value)).toEqual(value);
    expect(run(record, { name: 'a', n: 1 })).toEqual({ name: 'a', n: 1 });
    expect(run(shape.map(/^[a-z]$/, shape.integer(), 2), { a: 1, b: 2 })).toEqual({ a: 1, b: 2 });
  });

  it.each<[string, JsonValue]>([
    ['x is not an object', []],
    ['x is not an object', null],
    ['x.name is not present', { n: 1 }],
    ['x.extra is not a known member', { name: 'a', n: 1, extra: 1 }],
    ['x.name is not a text of 1 to 3 characters', { name: '', n: 1 }],
    ['x.name is not a text of 1 to 3 characters', { name: 'abcd', n: 1 }],
    ['x.n is not an integer from 1 to 5', { name: 'a', n: 6 }],
    ['x.n is not an integer from 1 to 5', { name: 'a', n: 1.5 }],
    ['x.n is not an integer from 1 to 5', { name: 'a', n: '1' }],
    ['x.tags is not without repetition', { name: 'a', n: 1, tags: ['x', 'x'] }],
    ['x.tags is not a list of 0 to 2 items', { name: 'a', n: 1, tags: ['x', 'y', 'z'] }],
    ['x.tags[1] is not a text', { name: 'a', n: 1, tags: ['x', 1] }],
    ['x.kind is not one of a, b', { name: 'a', n: 1, kind: 'c' }],
    ['x.on is not true or false', { name: 'a', n: 1, on: 0 }],
    // Members of Object.prototype are no members.
    ['x.toString is not a known member', { name: 'a', n: 1, toString: 1 }],
  ])('say %s', (message, value) => {
    expect(() => run(record, value)).toThrow(message);
  });

  it('a literal is itself only', () => {
    expect(run(shape.literal(1), 1)).toBe(1);
    expect(() => run(shape.literal(1), 2)).toThrow('x is not 1');
  });

  it('maps bound names and number of members', () => {
    const of = shape.map(/^[a-z]$/, shape.integer(), 2);
    expect(() => run(of, { A: 1 })).toThrow('x.A is not a known name');
    expect(() => run(of, { a: 1, b: 2, c: 3 })).toThrow('at most 2');
    expect(() => run(of, [1])).toThrow('an object');
  });

  it.each<[string, Shape<string>, JsonValue[], JsonValue[]]>([
    [
      'sha256Text',
      shape.sha256Text,
      [`sha256:${'a'.repeat(64)}`],
      ['a'.repeat(64), `sha256:${'A'.repeat(64)}`, `sha256:${'a'.repeat(64)}\n`],
    ],
    ['hex32', shape.hex32, ['0'.repeat(64)], ['0'.repeat(63), 'g'.repeat(64), `${'0'.repeat(64)}\n`]],
    ['decimal', shape.decimal, ['0', '18446744073709551615'], ['00', '-1', '1.0', '', '1\n']],
    ['base64url', shape.base64url(4), ['AA', 'A-_9'], ['AA==', 'AAAAA', '', 'A+']],
  ])('%s', (_name, of, good, bad) => {
    for (const value of good) expect(run(of, value)).toBe(value);
    for (const value of bad) expect(() => run(of, value)).toThrow(Failed);
  });
});
