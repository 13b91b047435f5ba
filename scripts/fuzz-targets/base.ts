import { isDeepStrictEqual } from 'node:util';
import {
  Refusal,
  canonicalJson,
  equalBytes,
  fromUtf8,
  parseJson,
  scanCanonical,
  utf8,
} from '../../src/base/index.ts';
import type { JsonValue } from '../../src/base/index.ts';
import type { FuzzTarget } from '../fuzz.ts';

const LIMITS = { maxBytes: 1 << 20, maxDepth: 8, maxValues: 200 };

const DOCUMENTS: readonly string[] = [
  '{"a":[1,-2.5e-7,true,null,"\u00fc\ud83d\ude00"],"b":{"c":{},"d":[]},"\\u0001":"\\"\\\\/"}',
  ' { "z" : 1E2 ,\t"a" :\n[ 9007199254740991 , -0 , 0.1 ] } ',
  '{"__proto_":1,"constructor":2,"toString":3}',
  '["\\ud83d\\ude00","\\u00e9","\\n\\/"]',
  '[[[[[[[[1]]]]]]]]',
  '"text"',
  'null',
];

/** What a reading gives, or the check that refused it. */
function outcome(bytes: Uint8Array): { value: JsonValue } | string {
  try {
    return { value: parseJson(bytes, 'document', LIMITS) };
  } catch (error) {
    if (error instanceof Refusal) return error.check;
    throw error;
  }
}

export const targets: Record<string, FuzzTarget> = {
  json: {
    seeds: () => DOCUMENTS.map(utf8),
    run: (input) => {
      const read = outcome(input);
      // With white space before it the engine's own parser is never asked: both have to be of one mind.
      const slowly = outcome(utf8(` ${fromUtf8(input, 'document')}`));
      if (!isDeepStrictEqual(read, slowly)) throw new Error('read otherwise behind white space');
      if (typeof read === 'string') return;
      if (!isDeepStrictEqual(read.value, JSON.parse(fromUtf8(input, 'document')))) {
        throw new Error('read otherwise than JSON.parse reads it');
      }
      // One meaning, one canonical text, which means the same again.
      const text = canonicalJson(read.value);
      if (canonicalJson(parseJson(utf8(text), 'canonical', LIMITS)) !== text) {
        throw new Error('the canonical text means something else');
      }
    },
  },
  'canonical-json': {
    seeds: () =>
      DOCUMENTS.map((text) => utf8(canonicalJson(parseJson(utf8(text), 'seed', { maxBytes: 1 << 20 })))),
    run: (input) => {
      const value = scanCanonical(input, (reader) => reader.value(), LIMITS);
      if (value === undefined) return;
      if (!equalBytes(utf8(canonicalJson(value)), input)) throw new Error('accepted, but not canonical');
      if (!isDeepStrictEqual(value, parseJson(input, 'document', LIMITS))) {
        throw new Error('read otherwise than the strict parser reads it');
      }
    },
  },
};
