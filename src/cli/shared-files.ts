import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { refuse } from '../base/index.ts';

/** A file below `share/`, which is beside the sources or beside `dist`. @throws Refusal `internal` */
export function sharedFile(name: string): Uint8Array {
  const found = ['../../share', '../../../share']
    .map((relative) => path.resolve(import.meta.dirname, relative, name))
    .find((file) => existsSync(file));
  if (found === undefined) return refuse('internal', `share/${name} is missing from this installation`);
  return new Uint8Array(readFileSync(found));
}
