import { fromUtf8, refuse } from '../base/index.ts';
import type { TreeEntry } from './tree-entry.ts';

/** Links followed for one path (Linux: 40), and components walked for one link. */
const MAX_HOPS = 40;
const MAX_STEPS = 4096;

/** What a path leads to: `directory`, another file, or the target of another link. */
type Node = { readonly target: string } | 'directory' | 'file';

/**
 * Every symbolic link of the tree stays inside it, as a kernel would resolve it: `..` after another link goes up
 * from where that link leads, so the text alone proves nothing. Dangling links are fine, they lead nowhere.
 * @throws Refusal `artifact-link`
 */
export function checkLinks(entries: readonly TreeEntry[]): void {
  const nodes = new Map<string, Node>();
  const links: [path: string, target: string][] = [];
  for (const entry of entries) {
    const path = fromUtf8(entry.path, 'path');
    if (entry.type === 'link') {
      const target = linkText(entry.target, path);
      nodes.set(path, { target });
      links.push([path, target]);
    } else nodes.set(path, entry.type === 'directory' ? 'directory' : 'file');
  }
  for (const [path, target] of links) checkLink(path, target, nodes);
}

function linkText(target: Uint8Array, path: string): string {
  const leaves = (reason: string): never => refuse('artifact-link', reason, { path });
  if (target.length === 0 || target.length > MAX_STEPS) leaves('impossible link target');
  let text: string;
  try {
    text = fromUtf8(target, 'link target');
  } catch {
    return leaves('link target is not UTF-8');
  }
  if (text.includes('\0')) leaves('impossible link target');
  if (text.startsWith('/')) leaves('absolute link: it leaves the root');
  return text;
}

function checkLink(path: string, target: string, nodes: ReadonlyMap<string, Node>): void {
  const todo = target.split('/').reverse();
  const at = path.split('/').slice(0, -1);
  let hops = 0;
  for (let steps = 0; ; steps++) {
    const part = todo.pop();
    if (part === undefined) return;
    if (steps > MAX_STEPS) refuse('artifact-link', 'link with too many components', { path });
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (at.pop() === undefined) refuse('artifact-link', 'link leaves the root', { path, target });
      continue;
    }
    const node = nodes.get([...at, part].join('/'));
    if (typeof node !== 'object') at.push(part);
    else if (++hops > MAX_HOPS) refuse('artifact-link', 'links lead in a circle', { path, target });
    else todo.push(...node.target.split('/').reverse());
  }
}
