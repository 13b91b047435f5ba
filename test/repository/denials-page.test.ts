import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { denialReference } from '../../scripts/lib/denial-reference.ts';

it('docs/DENIALS.md is written from the table of denials (npx tsx scripts/denial-reference.ts)', async () => {
  const page = readFileSync(new URL('../../docs/DENIALS.md', import.meta.url), 'utf8');
  expect(page).toBe(await denialReference());
});
