import path from 'node:path';
import { refuse } from '../../base/index.ts';
import type { ReadArtifact, ReadObject } from './read-artifact.ts';

/** As many links as the kernel follows. */
const MAX_LINKS = 40;

/**
 * The file that starts, as it was read: of a tree the one that its own links lead to.
 * @param entry path below the root, empty for a file
 * @throws Refusal `run-order`, `not-executable`; its detail says whether the file is missing
 */
export function entryPoint({ measured, objects }: ReadArtifact, entry: string): ReadObject {
  if (measured.type === 'file' && entry !== '') refuse('run-order', 'a file has nothing below it', { entry });
  const found = measured.type === 'file' ? objects.get('') : objects.get(followed(objects, entry));
  if (found === undefined)
    return refuse('not-executable', 'there is no such file in the tree', { entry, missing: true });
  if (found.type !== 'file' || (found.mode & 0o111) === 0)
    refuse('not-executable', 'the file is not executable', { entry, missing: false });
  return found;
}

/** A path without the tree's links in it. @throws Refusal `not-executable` */
function followed(objects: ReadArtifact['objects'], entry: string): string {
  let name = below(entry);
  for (let links = 0; links <= MAX_LINKS; links++) {
    const parts = name.split('/');
    const prefixes = parts.map((_, i) => parts.slice(0, i + 1).join('/'));
    const link = prefixes.find((prefix) => objects.get(prefix)?.type === 'link');
    if (link === undefined) return name;
    const rest = name.slice(link.length);
    name = below(path.posix.join(path.posix.dirname(link), `${objects.get(link)?.target ?? ''}${rest}`));
  }
  return refuse('not-executable', 'the tree’s links go in a circle', { entry, missing: false });
}

/** @throws Refusal `not-executable` */
function below(entry: string): string {
  const name = path.posix.normalize(entry);
  if (name === '.' || name === '..' || name.startsWith('../') || name.startsWith('/'))
    refuse('not-executable', 'of a tree a file below its root is run', { entry, missing: false });
  return name.replace(/\/$/, '');
}
