import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { JsonValue } from '../../src/base/index.ts';
import {
  Refusal,
  canonicalJson,
  jcsSha256,
  parseJson,
  parseJsonObject,
  toHex,
  utf8,
} from '../../src/base/index.ts';
import { expectRefusal } from '../support/refusals.ts';

const LIMITS = { maxBytes: 10_000 };
const parse = (text: string) => parseJson(utf8(text), 'X', LIMITS);

describe('parseJson', () => {
  it('agrees with JSON.parse on what JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value);
        fc.pre(text.isWellFormed() && !text.includes('__proto__'));
        fc.pre(!hasUnsafeInteger(value));
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it.each([
    ['a large integer', '9007199254740992'],
    ['a large integer in a list', '[0,-9007199254740992]'],
    ['a large integer in a member', '{"a":1000000000000000000000}'],
    ['an integer with an exponent', '1e+21'],
    ['a member twice', '{"a":1,"a":1}'],
    ['a name that is forbidden', '{"__proto__":{}}'],
    ['a lone surrogate', '"\\ud800"'],
  ])('refuses what the engine would write just so: %s', (_, text) => {
    expect(() => parse(text)).toThrow(/malformed/);
  });

  it('counts values and depth alike, written densely and with space', () => {
    for (const text of ['[[1,2],{"a":[]}]', '[]', '{"a":{}}', '[",[{"]', '7']) {
      for (const maxDepth of [0, 1, 2, 3])
        for (const maxValues of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
          const limits = { ...LIMITS, maxDepth, maxValues };
          const outcome = (one: string): string => {
            try {
              return JSON.stringify(parseJson(utf8(one), 'X', limits));
            } catch (error) {
              return error instanceof Refusal ? error.check : 'another error';
            }
          };
          expect(outcome(text)).toBe(outcome(` ${text}`));
        }
    }
  });

  it.each([
    ['duplicate member', '{"a":1,"a":2}'],
    ['duplicate after escape', '{"a":1,"\\u0061":2}'],
    ['__proto__', '{"__proto__":1}'],
    ['unsafe integer', '9007199254740992'],
    ['unsafe integer as exponent', '1e20'],
    ['overflow', '1e999'],
    ['leading zero', '01'],
    ['plus', '+1'],
    ['bare point', '1.'],
    ['trailing comma', '[1,]'],
    ['trailing comma in object', '{"a":1,}'],
    ['trailing data', '1 2'],
    ['empty', ''],
    ['comment', '/*x*/1'],
    ['single quotes', "'a'"],
    ['raw control', '"\u0001"'],
    ['lone surrogate', '"\\ud800"'],
    ['unknown escape', '"\\x41"'],
    ['short escape', '"\\u12"'],
    ['unfinished string', '"abc'],
    ['unfinished object', '{"a":1'],
    ['missing colon', '{"a" 1}'],
    ['name not a string', '{a:1}'],
    ['byte order mark', '\ufeff1'],
    ['word', 'nul'],
    ['NaN', 'NaN'],
    ['form feed is no white space', '\f1'],
  ])('refuses %s', (_name, text) => {
    expectRefusal('malformed', () => parse(text));
  });

  it('bounds size, depth and count', () => {
    expectRefusal('malformed', () => parseJson(utf8('"abc"'), 'X', { maxBytes: 4 }));
    expectRefusal('malformed', () => parseJson(utf8('[[1]]'), 'X', { maxBytes: 10, maxDepth: 1 }));
    expectRefusal('malformed', () => parseJson(utf8('[1,2,3]'), 'X', { maxBytes: 10, maxValues: 3 }));
    expectRefusal('malformed', () => parseJson(utf8('['.repeat(5000)), 'X', LIMITS));
  });

  it('parseJsonObject wants an object', () => {
    expect(parseJsonObject(utf8('{"a":[]}'), 'X', LIMITS)).toEqual({ a: [] });
    for (const text of ['[]', 'null', '1'])
      expectRefusal('malformed', () => parseJsonObject(utf8(text), 'X', LIMITS));
  });
});

describe('JCS (RFC 8785)', () => {
  it('gives the canonical form of the RFC’s example (§3.2.2, §3.2.3)', () => {
    const input = String.raw`{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }`;
    expect(canonicalJson(JSON.parse(input) as JsonValue)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts members by UTF-16 code units (§3.2.3)', () => {
    const input = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    expect(Object.values(JSON.parse(canonicalJson(input)) as object)).toHaveLength(7);
    const order = [
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ];
    const text = canonicalJson(input);
    expect([...order].sort((a, b) => text.indexOf(`"${a}"`) - text.indexOf(`"${b}"`))).toEqual(order);
  });

  // RFC 8785 appendix B: IEEE 754 bits → text.
  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['7fefffffffffffff', '1.7976931348623157e+308'],
    ['ffefffffffffffff', '-1.7976931348623157e+308'],
    ['4340000000000000', '9007199254740992'],
    ['c340000000000000', '-9007199254740992'],
    ['4430000000000000', '295147905179352830000'],
    ['44b52d02c7e14af5', '9.999999999999997e+22'],
    ['44b52d02c7e14af6', '1e+23'],
    ['44b52d02c7e14af7', '1.0000000000000001e+23'],
    ['444b1ae4d6e2ef4e', '999999999999999700000'],
    ['444b1ae4d6e2ef4f', '999999999999999900000'],
    ['444b1ae4d6e2ef50', '1e+21'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['43143ff3c1cb0959', '1424953923781206.2'],
  ])('number %s is %s', (hex, text) => {
    expect(canonicalJson(Buffer.from(hex, 'hex').readDoubleBE(0))).toBe(text);
  });

  it('has no form for what JSON cannot say', () => {
    for (const value of [Number.NaN, Infinity, '\ud800', [Number.NaN], { a: '\udc00' }, { '\ud800': 1 }]) {
      expect(() => canonicalJson(value)).toThrow(TypeError);
    }
    expect(() => canonicalJson(undefined as never)).toThrow(TypeError);
  });

  it('hashes the UTF-8 of the canonical text', () => {
    const expected = createHash('sha256').update('{"a":"é","b":1}').digest('hex');
    expect(toHex(jcsSha256({ b: 1, a: 'é' }))).toBe(expected);
  });

  it('is the same whatever the order of members', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.integer()), (object) => {
        const reversed = Object.fromEntries(Object.entries(object).reverse());
        expect(canonicalJson(reversed)).toBe(canonicalJson(object));
      }),
    );
  });
});

function hasUnsafeInteger(value: unknown): boolean {
  if (typeof value === 'number') return Number.isInteger(value) && !Number.isSafeInteger(value);
  if (typeof value === 'object' && value !== null) return Object.values(value).some(hasUnsafeInteger);
  return false;
}
