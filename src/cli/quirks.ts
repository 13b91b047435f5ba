import { QUIRKS } from '../evidence/index.ts';
import type { Quirk } from '../evidence/index.ts';
import { UsageError } from './errors.ts';

/** Collects `--quirk NAME`: firmware habits are allowed by name or not at all. @throws UsageError for other names */
export function addQuirk(name: string, others: readonly Quirk[] = []): readonly Quirk[] {
  if (!isQuirk(name)) throw new UsageError(`no quirk ${name}; known are ${Object.keys(QUIRKS).join(', ')}`);
  return [...others, name];
}

function isQuirk(name: string): name is Quirk {
  return Object.hasOwn(QUIRKS, name);
}
