import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const TESTS = path.resolve(import.meta.dirname, '..');
const sources = readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && file !== 'repository/checklist.test.ts')
  .map((file) => readFileSync(path.join(TESTS, file), 'utf8'))
  .join('\n');

// e23 and e26 are no ids of refusals: the types see to the first, and the checks of IMA lists are the second.
it.each(Array.from({ length: 26 }, (_, index) => `e${index + 1}`))(
  '%s of the quote checklist is refused, or kept, in a test that names it',
  (id) => {
    const expected = new RegExp(
      `expectRe(?:fusal|jection)\\(\\s*'${id}'|check: '${id}'|toEqual\\(\\['${id}'`,
    );
    const title = new RegExp(`\\(\\s*['"\`]${id}[: ]`);
    expect(expected.test(sources) || title.test(sources)).toBe(true);
  },
);
