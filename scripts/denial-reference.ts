/** Writes docs/DENIALS.md from the table of denials: `npx tsx scripts/denial-reference.ts`. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { denialReference } from './lib/denial-reference.ts';

writeFileSync(path.resolve(import.meta.dirname, '../docs/DENIALS.md'), await denialReference());
