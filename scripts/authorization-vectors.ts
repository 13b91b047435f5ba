/** Writes test/data/authorization and share/examples/authorization: `npx tsx scripts/authorization-vectors.ts`. Made again, it is the same. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { exampleFiles, vectorFiles } from './lib/vectors/cases.ts';

const directory = path.resolve(import.meta.dirname, '../test/data/authorization');
mkdirSync(directory, { recursive: true });
for (const old of readdirSync(directory)) if (old.endsWith('.json')) rmSync(path.join(directory, old));
for (const [name, text] of vectorFiles()) writeFileSync(path.join(directory, name), text);

const example = path.resolve(import.meta.dirname, '../share/examples/authorization');
mkdirSync(example, { recursive: true });
for (const [name, text] of exampleFiles()) writeFileSync(path.join(example, name), text);
