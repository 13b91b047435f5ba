import { describe, expect, it } from 'vitest';
import { Recent } from '../../src/base/index.ts';

describe('what was made a moment ago', () => {
  it('is made once, and dropped when it was not used for longest', () => {
    const made: string[] = [];
    const recent = new Recent<string>(2);
    const get = (key: string): string =>
      recent.of(key, () => {
        made.push(key);
        return key.toUpperCase();
      });
    expect(['a', 'b', 'a', 'c', 'a', 'b'].map(get)).toEqual(['A', 'B', 'A', 'C', 'A', 'B']);
    expect(made).toEqual(['a', 'b', 'c', 'b']);
  });

  it('keeps no error', () => {
    const recent = new Recent<number>(2);
    const fail = (): number => {
      throw new Error('not now');
    };
    expect(() => recent.of('a', fail)).toThrow('not now');
    expect(recent.of('a', () => 7)).toBe(7);
  });
});
