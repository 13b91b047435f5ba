import type { AuditLeaf, RevocationLeaf } from '../audit/index.ts';
import { dependenciesOf, indexKey, isOrigin, isRenewal } from './keys.ts';
import type { LineageKey } from './keys.ts';
import type { IndexRow } from './ports.ts';
import { MAX_CHAIN } from './read-entry.ts';

/** A row to be written. Where key and node are there already, the earlier row stays. */
export interface Filing extends IndexRow {
  readonly key: string;
  readonly kind: LineageKey['kind'];
}

/** What of the log before an entry its rows depend on. */
export interface EarlierEntries {
  /** Where an execution was made, and its parent; undefined when no earlier entry made it. */
  origin(executionId: string): Promise<KnownOrigin | undefined>;
}
export interface KnownOrigin {
  readonly position: number;
  readonly parent: string | null;
}

/**
 * The rows of one entry: a function of it and of the entries before it alone, so that the index can be made again from
 * the log at any time. Their number is bounded by the entry's own size, and grows with renewals only by what is new.
 */
export async function fileEntry(leaf: AuditLeaf, earlier: EarlierEntries): Promise<readonly Filing[]> {
  const position = Number(leaf.index);
  const own = (key: LineageKey): Filing => ({
    ...{ key: indexKey(key), kind: key.kind },
    ...{ node: position, leaf: position },
  });
  if (isOrigin(leaf)) {
    const [id = ''] = leaf.executions;
    // Decided once: the ledger takes the id. Another entry that says the same would be somebody else's.
    if ((await earlier.origin(id)) !== undefined) return [];
    const ancestors = await ancestorsOf(leaf.parent, earlier);
    return [
      own({ kind: 'execution', id }),
      ...(leaf.parent === null ? [] : [own({ kind: 'parent', id: leaf.parent })]),
      ...ancestors.map((ancestor) => own({ kind: 'ancestor', id: ancestor })),
      ...dependenciesOf(leaf).map(own),
    ];
  }
  if (isRenewal(leaf)) {
    const keys = leaf.executions.length === 0 ? [] : dependenciesOf(leaf).map(own);
    const rows: Filing[] = [];
    for (const id of leaf.executions) {
      const origin = await earlier.origin(id);
      if (origin === undefined) continue;
      rows.push(own({ kind: 'renewal', id }));
      rows.push(...keys.map((row) => ({ ...row, node: origin.position })));
    }
    return rows;
  }
  const key = keyOf(leaf);
  return key === undefined ? [] : [own(key)];
}

/** What entries that decide nothing are filed under. */
function keyOf(leaf: AuditLeaf): LineageKey | undefined {
  switch (leaf.kind) {
    case 'outcome':
      return { kind: 'outcome', id: leaf.executionId };
    case 'revocation':
      return revocationKey(leaf.subject);
    case 'enrollment':
      return leaf.outcome === 'allow' ? { kind: 'enrollment', id: leaf.hostId } : undefined;
    case 'policy':
      return leaf.action === 'publish' ? { kind: 'publication', id: leaf.digest } : undefined;
    default:
      return undefined;
  }
}

/** The key of a subject's revocation. */
export function revocationKey({ kind, id }: RevocationLeaf['subject']): LineageKey {
  return { kind: 'revocation', id: `${kind} ${id}` };
}

/** From the parent up to the root. A chain that doesn't end is no chain: nothing is filed beyond the longest. */
async function ancestorsOf(parent: string | null, earlier: EarlierEntries): Promise<readonly string[]> {
  const found: string[] = [];
  for (let id = parent; id !== null && found.length < MAX_CHAIN;) {
    const origin = await earlier.origin(id);
    if (origin === undefined) break;
    found.push(id);
    id = origin.parent;
  }
  return found;
}
