/** Writes the tables of docs/POLICY.md from the Cedar schema: `npx tsx scripts/policy-reference.ts`. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { policyReference } from './lib/policy-reference.ts';

writeFileSync(path.resolve(import.meta.dirname, '../docs/POLICY.md'), await policyReference());
