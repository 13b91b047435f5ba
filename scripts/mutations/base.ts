import type { Mutation } from '../lib/mutations.ts';

export const mutations: readonly Mutation[] = [
  {
    name: 'reader-ignores-trailing-bytes',
    file: 'src/base/reader.ts',
    find: 'if (this.remaining !== 0) this.malformed',
    replace: 'if (this.remaining < 0) this.malformed',
    test: 'test/base/reader.test.ts',
  },
  {
    name: 'reader-reads-past-the-end',
    file: 'src/base/reader.ts',
    find: 'if (length > this.remaining) {',
    replace: 'if (length > this.remaining + 1) {',
    test: 'test/base/reader.test.ts',
  },
  {
    name: 'json-duplicate-members-accepted',
    file: 'src/base/json.ts',
    find: "name === '__proto__' || Object.hasOwn(out, name)",
    replace: "name === '__proto__'",
    test: 'test/base/json.test.ts',
  },
  {
    name: 'base64-junk-accepted',
    file: 'src/base/bytes.ts',
    find: 'if (bytes.toString(alphabet) !== text)',
    replace: 'if (bytes.length > text.length)',
    test: 'test/base/bytes.test.ts',
  },
  {
    name: 'equal-bytes-ignores-content',
    file: 'src/base/bytes.ts',
    find: 'a.length === b.length && timingSafeEqual(a, b)',
    replace: 'a.length === b.length',
    test: 'test/base/bytes.test.ts',
  },
  {
    name: 'canonical-members-out-of-order',
    file: 'src/base/canonical.ts',
    find: '(last !== undefined && name <= last) || ',
    replace: '',
    test: 'test/base/canonical.test.ts',
  },
  {
    name: 'canonical-text-after-the-document',
    file: 'src/base/canonical.ts',
    find: 'if (this.#at !== this.#text.length) notCanonical();',
    replace: '',
    test: 'test/base/canonical.test.ts',
  },
  {
    name: 'canonical-scan-without-the-shape',
    file: 'src/base/shape.ts',
    find: "const scan: Scan<T> = (reader) => shape(read(reader), '', notCanonical);",
    replace: 'const scan: Scan<T> = (reader) => read(reader) as T;',
    test: 'test/base/canonical.test.ts',
  },
];
