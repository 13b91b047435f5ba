/** Writes docs/CONFIG.md from the schemas: `npx tsx scripts/config-reference.ts`. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { configReference } from './lib/config-reference.ts';

writeFileSync(path.resolve(import.meta.dirname, '../docs/CONFIG.md'), await configReference());
