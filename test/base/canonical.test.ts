import { describe, expect, it } from 'vitest';
import { canonicalJson, parseJson, scanCanonical, shape, utf8 } from '../../src/base/index.ts';
import type { JsonValue } from '../../src/base/index.ts';

const LIMITS = { maxBytes: 2000, maxDepth: 4, maxValues: 20 };
const scan = (text: string, limits = LIMITS): JsonValue | undefined =>
  scanCanonical(utf8(text), (reader) => reader.value(), limits);

const record = shape.object(
  { name: shape.text({ max: 6 }), n: shape.integer(-5, 5), v: shape.literal(1) },
  {
    tags: shape.set(shape.text(), 3),
    kind: shape.oneOf('a', 'b'),
    on: shape.nullable(shape.boolean),
    inner: shape.object({ deep: shape.list(shape.integer(), 2, 1) }),
    any: shape.map(/^[a-z]$/, shape.integer(), 2),
  },
);
const scanRecord = (text: string): unknown => scanCanonical(utf8(text), shape.scanOf(record), LIMITS);

/** What the two-pass way says: strict JSON, in canonical form, of the shape. */
function strictly(text: string): unknown {
  try {
    const value = parseJson(utf8(text), 'x', LIMITS);
    if (canonicalJson(value) !== text) return undefined;
    return record(value, 'x', () => {
      throw new Error('not of the shape');
    });
  } catch {
    return undefined;
  }
}

describe('one pass over canonical JSON', () => {
  it.each<[string, JsonValue]>([
    ['{"a":[1,-2,0,"x",null,true,false],"b":{}}', { a: [1, -2, 0, 'x', null, true, false], b: {} }],
    ['"a\\"b\\\\\\n\\u0001é😀"', 'a"b\\\n\u0001é😀'],
    ['[]', []],
    ['999999999999999', 999_999_999_999_999],
  ])('reads %s', (text, value) => {
    expect(scan(text)).toEqual(value);
    expect(canonicalJson(value)).toBe(text);
  });

  it.each([
    ['white space', '{"a": 1}'],
    ['members out of order', '{"b":1,"a":1}'],
    ['a member twice', '{"a":1,"a":1}'],
    ['a comma before the first member', '{,"a":1}'],
    ['a comma after the last member', '{"a":1,}'],
    ['a comma after the last item', '[1,]'],
    ['no comma', '["a""b"]'],
    ['__proto__', '{"__proto__":1}'],
    ['text after the document', '{"a":1}{}'],
    ['text before the document', ' 1'],
    ['an escape that is not needed', '"\\u0061"'],
    ['another escape than the short one', '"\\u000a"'],
    ['upper case in an escape', '"\\u001F"'],
    ['a solidus that is escaped', '"\\/"'],
    ['a lone surrogate', '"\\ud800"'],
    ['a control character', '"\u0001"'],
    ['a string without end', '"abc'],
    ['a string without end after an escape', '"abc\\"'],
    ['an escape that is none', '"\\x"'],
    ['a leading zero', '01'],
    ['minus zero', '-0'],
    ['a fraction of zero', '1.0'],
    ['an exponent', '1e2'],
    ['an integer over 2^53', '9007199254740994'],
    ['nothing', ''],
    ['a word that is none', 'nul'],
    ['an object without end', '{"a":1'],
    ['another end', '[1}'],
  ])('gives nothing for %s', (_name, text) => {
    expect(scan(text)).toBeUndefined();
  });

  it('gives nothing over the limits', () => {
    expect(scan('[[[[1]]]]')).toEqual([[[[1]]]]);
    expect(scan('[[[[[1]]]]]')).toBeUndefined();
    const items = (count: number): string => `[${Array.from({ length: count }, () => '1').join(',')}]`;
    expect(scan(items(19))).toHaveLength(19);
    expect(scan(items(20))).toBeUndefined();
    expect(scan(`"${'x'.repeat(1999)}"`)).toBeUndefined();
    expect(scanCanonical(new Uint8Array([0x22, 0xff, 0x22]), (one) => one.value(), LIMITS)).toBeUndefined();
  });

  it('of a shape accepts what the two-pass way accepts, and gives the same', () => {
    const value = {
      ...{ name: 'a"b', n: -5, v: 1, tags: ['x', 'y'], kind: 'b', on: null },
      ...{ inner: { deep: [1, 2] }, any: { a: 1, b: 2 } },
    };
    const text = canonicalJson(value);
    expect(scanRecord(text)).toEqual(value);
    expect(scanRecord('{"n":1,"name":"a","v":1}')).toEqual({ n: 1, name: 'a', v: 1 });
    expect(scanRecord('{"n":1,"name":"a"}')).toBeUndefined();
    expect(scanRecord('{"n":1,"name":"a","v":1,"w":1}')).toBeUndefined();
    expect(scanRecord('{"n":1,"name":"a","tags":["x","x"],"v":1}')).toBeUndefined();
    expect(scanRecord('{"inner":{"deep":[]},"n":1,"name":"a","v":1}')).toBeUndefined();
    expect(scanRecord('{"inner":{"deep":[1,2,3]},"n":1,"name":"a","v":1}')).toBeUndefined();
  });

  // Each position of a text replaced, removed and doubled, by all that could matter in it.
  it('never accepts what the two-pass way refuses, whatever one place is changed to', () => {
    const text = canonicalJson({
      ...{ name: 'a\n"', n: 3, v: 1, tags: ['x', 'y'], kind: 'b', on: true },
      ...{ inner: { deep: [1, 20] }, any: { a: 1, b: 2 } },
    });
    let accepted = 0;
    const puts = Array.from('{}[]",:\\0129-.eE+ \n\tabnux_é\u0000');
    for (let at = 0; at <= text.length; at++) {
      const [before, after] = [text.slice(0, at), text.slice(at + 1)];
      for (const put of ['', (text[at] ?? '').repeat(2), ...puts]) {
        const changed = before + put + after;
        const [found, expected] = [scanRecord(changed), strictly(changed)];
        if (found !== undefined) accepted++;
        if (found !== expected) expect(found, changed).toEqual(expected);
      }
    }
    expect(accepted).toBeGreaterThan(50);
  });
});

describe('objects that are joined', () => {
  const both = shape.joined(
    shape.object({ b: shape.integer() }),
    shape.object({ a: shape.integer() }, { c: shape.integer() }),
  );

  it('have the members of both', () => {
    expect(scanCanonical(utf8('{"a":1,"b":2}'), shape.scanOf(both), LIMITS)).toEqual({ a: 1, b: 2 });
    expect(scanCanonical(utf8('{"a":1}'), shape.scanOf(both), LIMITS)).toBeUndefined();
    expect(() => shape.joined(shape.object({}), shape.nullable(shape.object({})))).toThrow(TypeError);
  });
});
